from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.settings import Settings
from mesh.protocol.facts.store import bucket_of, entry_of
from mesh.wire import messages, signed_facts
from mesh.wire.codec import pack
from mesh.wire.envelope import MAX_BODY
from mesh.wire.facts import Claim, PoolEngine, Record
from mesh.wire.messages import BUCKETS, Bodies, Buckets, Contents, Hello, Ping, Pull, Rumour, Rumours
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.signed_facts import sign
from mesh.wire.versions import CLOSED, SPOKEN, marked
from tests.mesh.protocol.stage import Actor, Stage


def _rumour(data: bytes) -> Rumour:
    return entry_of(signed_facts.decode(data)).rumour


def _told_keys(stage: Stage, actor: Actor) -> set[bytes]:
    return {rumour.key for message in stage.take(Rumours, actor) for rumour in message.rumours}


def test_news_is_told_at_once_and_a_few_times_then_no_more() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(5.0)
    stage.take(Rumours)
    stage.republish(name="renamed")
    stage.wait(0.05)
    key = entry_of(signed_facts.decode(actor.record())).key
    assert key not in _told_keys(stage, actor)
    stage.wait(5.0)
    assert len(stage.take(Rumours, actor)) <= 3
    stage.wait(30.0)
    assert stage.take(Rumours) == []


def test_a_suspicion_of_another_is_passed_on_with_its_body() -> None:
    stage = Stage()
    suspector, suspected, other = (stage.member(number) for number in range(2, 5))
    suspicion = suspector.suspicion(suspected.id)
    suspector.tells(suspicion)
    stage.wait(0.15)
    assert any(suspicion in bodies.facts for bodies in stage.take(Bodies, other))


def test_the_body_of_a_rumour_is_pulled_and_then_known() -> None:
    stage = Stage()
    teller, subject = stage.member(2), stage.member(3, known=False)
    record = subject.record()
    teller.says(Rumours((_rumour(record),)))
    [pull] = stage.take(Pull, teller)
    assert pull.keys == (_rumour(record).key,)
    teller.tells(record)
    assert stage.state_of(subject) == "alive"
    teller.says(Rumours((_rumour(record),)))
    assert stage.take(Pull) == []


def test_an_old_version_is_not_pulled() -> None:
    stage = Stage()
    teller, subject = stage.member(2), stage.member(3)
    subject.tells(subject.record(sequence=5))
    teller.says(Rumours((_rumour(subject.record(sequence=4)),)))
    assert stage.take(Pull) == []


def test_a_body_that_does_not_come_is_pulled_from_another() -> None:
    stage = Stage()
    one, two, subject = stage.member(2), stage.member(3), stage.member(4, known=False)
    rumour = _rumour(subject.record())
    one.says(Rumours((rumour,)))
    two.says(Rumours((rumour,)))
    assert len(stage.take(Pull, one)) == 1
    stage.wait(0.3)
    assert len(stage.take(Pull, two)) == 1


def test_a_body_that_has_to_wait_for_its_authors_voucher_is_not_asked_for_again() -> None:
    stage = Stage()
    teller, newcomer = stage.member(2), stage.outsider(3)
    record = newcomer.record()
    teller.says(Rumours((_rumour(record),)))
    assert len(stage.take(Pull, teller)) == 1
    teller.tells(record)
    stage.wait(5.0)
    assert stage.take(Pull) == []
    stage.member(3, known=False)
    assert stage.state_of(newcomer) == "alive"


def test_a_pending_body_ends_its_pull_only_if_the_asked_member_gave_it() -> None:
    stage = Stage()
    teller, another, newcomer = stage.member(2), stage.member(3), stage.outsider(4)
    record = newcomer.record()
    teller.says(Rumours((_rumour(record),)))
    stage.take(Pull)
    another.tells(record)
    stage.wait(0.3)
    assert len(stage.take(Pull, teller)) == 1


def test_a_body_that_nobody_has_is_given_up() -> None:
    stage = Stage()
    teller = stage.member(2)
    teller.says(Rumours((Rumour(b"nonsense", (1,), b"mark"),)))
    stage.wait(5.0)
    assert 1 <= len(stage.take(Pull)) <= 4
    stage.wait(20.0)
    assert stage.take(Pull) == []


def test_a_flood_of_rumours_is_pulled_in_a_bounded_window() -> None:
    stage = Stage()
    teller = stage.member(2)
    for start in range(0, 2000, 25):
        teller.says(
            Rumours(tuple(Rumour(n.to_bytes(8, "big"), (1,), b"mark") for n in range(start, start + 25)))
        )
    assert sum(len(pull.keys) for pull in stage.take(Pull)) <= 128


def test_asked_for_bodies_it_sends_those_that_it_has_vouchers_first() -> None:
    stage = Stage()
    asker = stage.member(2)
    own = next(m.record for m in stage.node.members() if m.id == stage.node.id)
    assert own is not None
    chain = [signed_facts.decode(data) for data in stage.node.chain(asker.id)]
    keys = [entry_of(sign(own, stage.signer)).key, *(entry_of(link).key for link in chain), bytes(8)]
    stage.take(Bodies)
    asker.says(Pull(tuple(keys)))
    sent = [signed_facts.decode(data).fact for body in stage.take(Bodies, asker) for data in body.facts]
    assert sent[:2] == [link.fact for link in chain]
    assert sent[2] == own


def test_when_summaries_differ_for_long_the_sets_are_compared() -> None:
    stage = Stage(settings=Settings(probe_period=1000.0))
    actor = stage.member(2)
    stage.wait(3.0)
    stage.take(Buckets)
    actor.says(Ping(1, b"another!", 1, 0))
    assert len(stage.take(Buckets, actor)) == 1
    actor.says(Ping(2, b"another!", 1, 0))
    assert stage.take(Buckets, actor) == []


def test_many_hellos_in_a_round_lead_to_one_comparison() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 6)]
    stage.wait(1.0)
    stage.take(Buckets)
    for actor in actors:
        actor.says(Hello(False, bytes(8), ()))
    assert len(stage.take(Buckets)) == 1
    stage.wait(0.11)
    stage.take(Buckets)
    actors[0].says(Hello(False, b"another!", ()))
    assert len(stage.take(Buckets, actors[0])) == 1


def test_the_contents_of_differing_buckets_are_named() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.says(Buckets((bytes(8),) * 64))
    named = {rumour.key for message in stage.take(Contents, actor) for rumour in message.rumours}
    assert entry_of(signed_facts.decode(actor.record())).key in named
    assert len(named) >= 4


def test_what_the_other_lacks_it_is_told_and_what_it_has_more_is_pulled() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(3.0)
    stage.take(Rumours)
    stage.take(Pull)
    claim = sign(Claim(stage.pool, actor.id, 9, 1), actor.signer)
    bucket = entry_of(claim).key[0] % 64
    everything = tuple(range(64))
    actor.says(Contents((bucket,), (entry_of(claim).rumour,)))
    assert [pull.keys for pull in stage.take(Pull, actor)] == [(entry_of(claim).key,)]
    actor.says(Contents(everything, ()))
    own = entry_of(sign(next(m.record for m in stage.node.members() if m.id == stage.node.id), stage.signer))
    assert own.key in _told_keys(stage, actor)


def test_a_member_hears_of_all_records_in_a_full_comparison() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 40)]
    actors[0].says(Buckets((bytes(8),) * 64))
    named = {rumour.key for message in stage.take(Contents) for rumour in message.rumours}
    keys = {entry_of(signed_facts.decode(actor.record())).key for actor in actors}
    assert keys <= named


def _invented(start: int) -> Rumours:
    return Rumours(tuple(Rumour(n.to_bytes(8, "big"), (1,), b"mark") for n in range(start, start + 25)))


def test_a_member_that_invents_rumours_does_not_keep_real_news_waiting() -> None:
    stage = Stage()
    liar, honest, subject = stage.member(2), stage.member(3), stage.member(4, known=False)
    for start in range(0, 4000, 25):
        liar.says(_invented(start))
    stage.take(Pull)
    honest.says(Rumours((_rumour(subject.record()),)))
    stage.wait(0.3)
    assert _rumour(subject.record()).key in {key for p in stage.take(Pull, honest) for key in p.keys}


def test_a_body_is_pulled_from_others_too_than_the_first_to_tell_of_it() -> None:
    stage = Stage()
    first, second, another = stage.member(2), stage.member(3), stage.member(4)
    another.says(_invented(10_000))
    for teller in (first, second):
        for start in range(0, 500, 25):
            teller.says(_invented(start))
    stage.take(Pull)
    stage.wait(0.3)
    asked = [sum(len(pull.keys) for pull in stage.take(Pull, teller)) for teller in (first, second)]
    assert min(asked) > 0
    assert sum(asked) > 64, "the share of one of two"


def test_a_member_whose_rumours_came_to_nothing_is_hardly_asked_again() -> None:
    stage = Stage()
    liar = stage.member(2)
    for start in range(0, 100, 25):
        liar.says(_invented(start))
    stage.wait(5.0)
    stage.take(Pull)
    for start in range(1000, 3000, 25):
        liar.says(_invented(start))
    stage.wait(5.0)
    assert sum(len(pull.keys) for pull in stage.take(Pull)) <= 4 * 32


def test_a_bucket_that_is_too_full_for_a_datagram_is_compared_over_a_stream() -> None:
    stage = Stage()
    other = stage.member(2)
    bucket = 5
    rumours = tuple(
        Rumour(bytes([bucket]) + number.to_bytes(7, "big"), (1, 1), bytes(4)) for number in range(90)
    )
    full = messages.encode(Contents((bucket,), rumours))
    assert len(full) > MAX_BODY
    stage.take(Pull)
    stage.perform(stage.node.receive_stream(stage.now, other.id, full))
    assert {key for pull in stage.take(Pull, other) for key in pull.keys} == {each.key for each in rumours}


def test_a_member_without_a_record_is_asked_where_it_spoke_from() -> None:
    """A newcomer's own record, too large for a datagram, may be the very thing that it tells of."""
    stage = Stage()
    newcomer = stage.member(2, known=False)
    rumour = _rumour(newcomer.record())
    newcomer.says(Rumours((rumour,)))
    assert [pull.keys for pull in stage.take(Pull, newcomer)] == [(rumour.key,)]


def test_contents_over_a_stream_count_before_the_record_of_who_sent_them() -> None:
    stage = Stage()
    newcomer, subject = stage.member(2, known=False), stage.member(3, known=False)
    rumour = _rumour(subject.record())
    contents = messages.encode(Contents((bucket_of(rumour.key),), (rumour,)))
    stage.perform(stage.node.receive_stream(stage.now, newcomer.id, contents))
    newcomer.tells(newcomer.record())
    stage.take(Pull)
    stage.wait(0.3)
    assert rumour.key in {key for pull in stage.take(Pull, newcomer) for key in pull.keys}


def _mixed() -> tuple[Stage, Actor, Actor, bytes]:
    """A member of version 2, one of this version, and a fact that the former cannot read."""
    stage = Stage()
    older, newer = stage.member(2, speaks=CLOSED), stage.member(3)
    stage.wait(5.0)
    stage.sent.clear()
    engine = newer.sign(PoolEngine(stage.pool, newer.id, (1,), b"", "b1234", bytes(32)))
    newer.tells(engine)
    return stage, older, newer, engine


def test_what_an_older_member_cannot_read_is_not_told_to_it() -> None:
    stage, older, newer, engine = _mixed()
    plain = newer.claim(3)
    newer.tells(plain)
    stage.wait(3.0)
    told, others = _told_keys(stage, older), _told_keys(stage, newer)
    assert _rumour(engine).key in others - told
    assert _rumour(plain).key in told
    assert all(engine not in bodies.facts for bodies in stage.take(Bodies, older))


def test_an_older_member_gets_nothing_that_it_cannot_read_in_a_comparison() -> None:
    stage, older, newer, engine = _mixed()
    key = _rumour(engine).key
    for actor in (older, newer):
        stage.sent.clear()
        actor.says(Buckets((bytes(8),) * BUCKETS))
        held = {rumour.key for message in stage.take(Contents, actor) for rumour in message.rumours}
        actor.says(Contents((bucket_of(key),), ()))
        actor.says(Pull((key,)))
        got = [fact for bodies in stage.take(Bodies, actor) for fact in bodies.facts]
        reads = actor is newer
        assert ((key in held), (key in _told_keys(stage, actor)), (engine in got)) == (reads, reads, reads)


def test_own_news_that_an_older_member_cannot_read_goes_to_the_others_with_its_body() -> None:
    stage = Stage()
    newer = stage.member(3)
    stage.wait(5.0)
    older = stage.outsider(2)
    older.speaks = CLOSED
    stage.perform(stage.node.choose_engine(stage.now, "b1234", bytes(32)))
    stage.perform(stage.node.vouch(stage.now, older.signer.public_key, ALL_RIGHTS))
    older.tells(older.record())
    stage.sent.clear()
    stage.wait(0.2)
    for actor in (older, newer):
        news = [data for bodies in stage.take(Bodies, actor) for data in bodies.facts]
        kinds = {signed_facts.decode(data).fact.kind for data in news}
        assert (PoolEngine.kind in kinds) == (actor is newer)


def test_an_older_member_is_told_no_suspicion_of_one_whose_record_it_cannot_read() -> None:
    """It knows of no such liveness, so it would pull the suspicion again and again."""
    stage = Stage()
    older, newer, read, unread = (
        stage.member(number, speaks=CLOSED if number == 2 else SPOKEN) for number in range(2, 6)
    )
    stage.wait(5.0)
    profile = Profile(name="unread", addresses=(unread.address,), build="0.3.0")
    unread.tells(unread.sign(Record(stage.pool, unread.id, 2, marked(bytes(8), SPOKEN), 1, False, profile)))
    suspicions = [newer.suspicion(read.id), newer.suspicion(unread.id, generation=2)]
    newer.tells(*suspicions)
    keys = [_rumour(suspicion).key for suspicion in suspicions]
    for actor in (older, newer):
        stage.sent.clear()
        actor.says(Buckets((bytes(8),) * BUCKETS))
        told = {rumour.key for message in stage.take(Contents, actor) for rumour in message.rumours}
        assert [key in told for key in keys] == [True, actor is newer]


def test_a_fact_of_a_later_kind_is_kept_and_passed_on() -> None:
    stage = Stage()
    later, other = stage.member(2), stage.member(3)
    body = pack([77, stage.pool, later.id, [1, 2], b"place", "what nobody here knows", [1, [2.5]]])
    fact = body + later.signer.sign(b"mesh fact 1\0" + body)
    later.tells(fact)
    stage.wait(3.0)
    assert _rumour(fact).key in _told_keys(stage, other)
    other.says(Pull((_rumour(fact).key,)))
    assert fact in {data for bodies in stage.take(Bodies, other) for data in bodies.facts}


def test_of_two_words_of_a_later_kind_with_one_version_one_spreads() -> None:
    stage = Stage()
    later, other = stage.member(2), stage.member(3)
    facts = []
    for word in ("one", "another"):
        body = pack([77, stage.pool, later.id, [1], b"", word])
        facts.append(body + later.signer.sign(b"mesh fact 1\0" + body))
    facts.sort(key=lambda data: signed_facts.decode(data).hash, reverse=True)
    later.tells(facts[0])
    stage.wait(5.0)
    _told_keys(stage, other)
    later.tells(facts[1])
    stage.wait(1.0)
    assert _rumour(facts[1]).key in _told_keys(stage, other)
    assert stage.node.drops.counts[DropReason.EQUIVOCATION] == 1

import pytest

from mesh.protocol.base.effects import MembersChanged
from mesh.protocol.base.settings import Settings
from mesh.wire import signed_facts
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Liveness, Record, Suspicion
from mesh.wire.messages import Ack, Bodies, Ping, Pull
from mesh.wire.profile import Profile
from mesh.wire.versions import CLOSED, SPOKEN, Versions
from tests.mesh.protocol.stage import Actor, Stage


def test_a_member_that_is_heard_of_is_alive() -> None:
    stage = Stage()
    actor = stage.member(2)
    assert stage.state_of(actor) == "alive"
    assert stage.told(MembersChanged)


def test_a_silent_member_is_suspected_then_dead() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    stage.wait(1.0)
    assert stage.state_of(actor) == "suspect"
    stage.wait(2.0)
    assert stage.state_of(actor) == "dead"


def test_a_member_that_answers_stays_alive_for_ever() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(60.0)
    assert stage.state_of(actor) == "alive"


def test_a_suspect_refutes_with_a_higher_liveness() -> None:
    stage = Stage()
    suspector = stage.member(2)
    suspector.tells(suspector.suspicion(stage.node.id, generation=1))
    suspector.says(Ping(1, bytes(8), 1, 0))
    assert stage.take(Ack, suspector)[-1].incarnation == 1


def test_a_suspicion_of_a_past_liveness_is_not_refuted_again() -> None:
    stage = Stage()
    suspector = stage.member(2)
    for _ in range(3):
        suspector.tells(suspector.suspicion(stage.node.id, generation=1))
    suspector.says(Ping(1, bytes(8), 1, 0))
    assert stage.take(Ack, suspector)[-1].incarnation == 1


def test_a_refutation_ends_a_suspicion() -> None:
    stage = Stage()
    actor, suspector = stage.member(2), stage.member(3)
    suspector.tells(suspector.suspicion(actor.id))
    assert stage.state_of(actor) == "suspect"
    suspector.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
    assert stage.state_of(actor) == "alive"


def test_a_member_that_hears_a_suspicion_probes_and_informs_the_suspect() -> None:
    stage = Stage()
    actor, suspector = stage.member(2), stage.member(3)
    stage.take(Ping)
    suspector.tells(suspector.suspicion(actor.id))
    assert len(stage.take(Ping, actor)) == 1
    told = [signed_facts.decode(data).fact for body in stage.take(Bodies, actor) for data in body.facts]
    assert Suspicion(stage.pool, suspector.id, actor.id, 1, 0) in told


@pytest.mark.parametrize(("others", "share"), [(60, 1.0), (300, 0.2)])
def test_all_of_a_small_pool_and_a_few_of_a_large_one_see_for_themselves(others: int, share: float) -> None:
    stage = Stage()
    suspector, *members = (stage.member(number) for number in range(2, others + 2))
    stage.take(Ping)
    for suspected in members[:40]:
        suspector.tells(suspector.suspicion(suspected.id))
    asked = sum(bool(stage.take(Ping, suspected)) for suspected in members[:40])
    assert asked == 40 if share == 1.0 else asked <= 40 * share


def test_a_member_that_raised_its_liveness_since_the_probe_is_not_suspected() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    while not stage.take(Ping, actor):
        stage.wait(0.01)
    stage.wait(0.2)
    actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
    stage.wait(stage.settings.probe_timeout - 0.1)
    assert stage.state_of(actor) == "alive"


def test_one_liar_cannot_kill_in_a_pool_of_four() -> None:
    stage = Stage()
    victim, liar, _ = stage.member(2), stage.member(3), stage.member(4)
    for incarnation in range(20):
        liar.tells(liar.suspicion(victim.id, incarnation=incarnation))
        stage.wait(1.0)
        assert stage.state_of(victim) != "dead"


def _time_to_death(suspectors: int) -> float:
    stage = Stage()
    victim = stage.member(2)
    others = [stage.member(number) for number in range(3, 10)]
    victim.answers = False
    for suspector in others[:suspectors]:
        suspector.tells(suspector.suspicion(victim.id))
    start = stage.now
    while stage.state_of(victim) != "dead":
        stage.wait(0.05)
    return stage.now - start


def test_more_independent_suspectors_shorten_the_suspicion() -> None:
    # This node's own failed probe makes it a suspector too.
    one, two, three = (_time_to_death(count) for count in (1, 2, 3))
    assert one > two >= three >= Settings().suspicion_timeout


def test_the_dead_are_asked_now_and_then_and_come_back_when_they_refute() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    stage.wait(4.0)
    assert stage.state_of(actor) == "dead"
    stage.take(Ping)
    stage.wait(3.0)
    assert stage.take(Ping, actor)
    actor.incarnation = 1
    actor.answers = True
    actor.says(Ping(1, bytes(8), 1, 1))
    asked = [key for pull in stage.take(Pull, actor) for key in pull.keys]
    assert signed_facts.place_key(Liveness.kind, actor.id) in asked
    assert stage.state_of(actor) == "dead"
    actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
    assert stage.state_of(actor) == "alive"


def test_a_member_that_brings_a_suspicion_gets_the_refutation_straight_away() -> None:
    stage = Stage()
    suspector = stage.member(2)
    suspector.tells(suspector.suspicion(stage.node.id, generation=1))
    told = [signed_facts.decode(data).fact for body in stage.take(Bodies, suspector) for data in body.facts]
    assert Liveness(stage.pool, stage.node.id, 1, 1) in told


def test_a_suspect_that_answers_is_not_dead_though_its_refutation_is_late() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 8)]
    victim = actors[0]
    for suspector in actors[1:4]:
        suspector.tells(suspector.suspicion(victim.id))
    stage.wait(10.0)
    assert stage.state_of(victim) == "suspect"


def _suspect_again_and_again(stage: Stage, suspectors: list[Actor], times: int) -> None:
    for incarnation in range(times):
        for suspector in suspectors:
            suspector.tells(suspector.suspicion(stage.node.id, incarnation=incarnation))
        stage.wait(0.5)


def _own_liveness(stage: Stage) -> Liveness:
    told = [signed_facts.decode(data).fact for body in stage.take(Bodies) for data in body.facts]
    return max((f for f in told if isinstance(f, Liveness)), key=lambda fact: fact.version)


def test_a_member_that_most_accuse_again_and_again_is_unsteady_and_leads_no_more() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 9)]
    stage.wait(3.0)
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == stage.node.id
    _suspect_again_and_again(stage, actors, 6)
    assert not _own_liveness(stage).stable
    assert stage.node.leader() is None


def test_a_quarantined_member_suspects_nobody_until_it_is_stable_again() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 9)]
    _suspect_again_and_again(stage, actors, 6)
    assert not _own_liveness(stage).stable
    actors[0].answers = False
    stage.wait(10.0)
    assert not _suspected_by(stage)
    while not stage.node._parts.membership.flap_detector.stable:
        stage.wait(1.0)
    stage.wait(10.0)
    assert _suspected_by(stage) == {actors[0].id}


def _suspected_by(stage: Stage) -> set[bytes]:
    """The members that the node itself suspects, by what it gossips and holds."""
    told = [signed_facts.decode(data).fact for body in stage.take(Bodies) for data in body.facts]
    held = [signed.fact for signed in stage.node.inspect().facts()]
    return {
        fact.subject
        for fact in (*told, *held)
        if isinstance(fact, Suspicion) and fact.author == stage.node.id
    }


def test_a_few_suspectors_quarantine_no_member_however_often() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 9)]
    _suspect_again_and_again(stage, actors[:3], 20)
    assert _own_liveness(stage).stable


def test_one_burst_of_suspicions_by_all_quarantines_no_member() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 17)]
    _suspect_again_and_again(stage, actors, 1)
    assert _own_liveness(stage).stable


def test_a_member_that_says_that_it_is_unstable_is_dead_until_it_says_otherwise() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 5, stable=False)))
    assert stage.state_of(actor) == "dead"
    stage.wait(5.0)
    assert stage.state_of(actor) == "dead"
    actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 6)))
    assert stage.state_of(actor) == "alive"


def test_a_new_incarnation_is_alive_again() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    stage.wait(4.0)
    actor.generation = 2
    actor.tells(actor.record())
    assert stage.state_of(actor) == "alive"


def test_a_member_that_leaves_has_left_and_is_not_suspected() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.tells(actor.record(sequence=2, left=True))
    assert stage.state_of(actor) == "left"
    actor.answers = False
    stage.wait(10.0)
    assert stage.state_of(actor) == "left"
    actor.generation = 2
    actor.tells(actor.record())
    assert stage.state_of(actor) == "alive"


def test_a_paused_process_holds_nobody_dead_when_it_wakes() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 8)]
    stage.wait(2.0)
    stage.sleep(5.0)
    stage.wait(3.0)
    assert {stage.state_of(actor) for actor in actors} == {"alive"}


def test_a_suspicion_that_ran_out_during_a_pause_starts_over() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    stage.wait(1.0)
    assert stage.state_of(actor) == "suspect"
    stage.sleep(10.0)
    assert stage.state_of(actor) == "suspect"


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_reset_stream_makes_a_silent_member_dead_in_about_a_second(after: float) -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(1.0)
    actor.answers = False
    stage.wait(after)
    stage.perform(stage.node.connection_reset(stage.now, actor.id))
    stage.wait(1.1)
    assert stage.state_of(actor) == "dead"


def test_a_reset_stream_of_a_member_that_answers_means_nothing() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.perform(stage.node.connection_reset(stage.now, actor.id))
    stage.wait(5.0)
    assert stage.state_of(actor) == "alive"


def test_a_newer_trace_of_oneself_is_overtaken() -> None:
    stage = Stage()
    volunteer = stage.member(2)
    former = stage.restarted().restarted()
    assert former.node.generation == 3
    record = next(m.record for m in former.node.members() if m.id == former.node.id)
    assert record is not None
    volunteer.tells(signed_facts.sign(record, former.signer).data)
    assert stage.node.generation == 4
    assert stage.disk["incarnation"] == b"\x91\x04"


def test_another_trace_of_oneself_with_the_same_incarnation_is_overtaken() -> None:
    stage = Stage()
    volunteer = stage.member(2)
    profile = Profile(name="before the disk was set back")
    other = Record(stage.pool, stage.node.id, 1, b"another!", 5, False, profile)
    volunteer.tells(signed_facts.sign(other, stage.signer).data)
    assert stage.node.generation == 2


def test_a_liveness_of_oneself_that_the_disk_forgot_is_passed() -> None:
    stage = Stage()
    volunteer = stage.member(2)
    volunteer.tells(signed_facts.sign(Liveness(stage.pool, stage.node.id, 1, 4), stage.signer).data)
    volunteer.says(Ping(1, bytes(8), 1, 0))
    assert stage.take(Ack, volunteer)[-1].incarnation == 5


def test_a_suspicion_of_a_liveness_from_before_a_rollback_is_refuted() -> None:
    stage = Stage()
    volunteer = stage.member(2)
    volunteer.tells(volunteer.suspicion(stage.node.id, generation=1, incarnation=3))
    volunteer.says(Ping(1, bytes(8), 1, 0))
    assert stage.take(Ack, volunteer)[-1].incarnation == 4


def test_a_suspect_that_was_reset_and_answers_is_awaited_in_steps_of_time() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 9)]
    actor = actors[0]
    _suspect_again_and_again(stage, actors[1:], 6)
    assert not _own_liveness(stage).stable
    actor.answers = False
    actors[1].tells(actors[1].suspicion(actor.id))
    stage.perform(stage.node.connection_reset(stage.now, actor.id))
    effects = len(stage.sent)
    stage.wait(5.0)
    assert len(stage.sent) - effects < 500


def test_a_member_that_comes_back_at_another_address_is_asked_there() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(3.0)
    elsewhere = Endpoint("192.0.2.99", 4711)
    record = Record(stage.pool, actor.id, 2, b"another1", 1, False, Profile(addresses=(elsewhere,), rank=1))
    messenger = stage.member(3)
    messenger.tells(actor.sign(record))
    member = next(member for member in stage.node.members() if member.id == actor.id)
    assert member.endpoint == elsewhere


def test_a_member_that_moves_while_it_runs_is_asked_where_it_says() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(3.0)
    elsewhere = Endpoint("192.0.2.99", 4711)
    moved = Record(stage.pool, actor.id, 1, bytes(8), 2, False, Profile(addresses=(elsewhere,), rank=1))
    messenger = stage.member(3)
    messenger.tells(actor.sign(moved))
    member = next(member for member in stage.node.members() if member.id == actor.id)
    assert member.endpoint == elsewhere


@pytest.mark.parametrize("others", [3, 60])
def test_members_are_picked_at_random_each_once_and_never_the_excluded_or_the_dead(others: int) -> None:
    stage = Stage()
    excluded, dead, *members = (stage.member(number) for number in range(2, others + 4))
    dead.tells(dead.sign(Liveness(stage.pool, dead.id, 1, 1, stable=False)))
    picks = [stage.node._parts.membership.pick(3, but=excluded.id) for _ in range(200)]
    assert all(len({peer.id for peer in pick}) == 3 for pick in picks)
    assert {peer.id for pick in picks for peer in pick} == {member.id for member in members}


def test_a_node_that_hears_its_own_liveness_of_a_later_generation_advances_beyond_it() -> None:
    stage = Stage()
    carrier = stage.member(2)
    carrier.tells(signed_facts.sign(Liveness(stage.pool, stage.node.id, 7, 2), stage.signer).data)
    assert stage.node.generation == 8


LATER = Versions(3, 4)
"""What a program speaks that has no version in common with a program of version 2."""


def test_a_member_without_a_version_in_common_counts_as_dead_and_does_not_lead() -> None:
    stage = Stage(rank=1, speaks=LATER)
    older = stage.member(2, rank=90, speaks=CLOSED)
    volunteer = stage.member(3, rank=0)
    volunteer.tells(older.claim(7))
    assert stage.state_of(older) == "dead"
    assert stage.node._parts.membership.live_count() == 2
    stage.wait(5.0)
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == stage.node.id


def test_a_refutation_brings_no_member_back_that_has_no_version_in_common() -> None:
    stage = Stage(speaks=LATER)
    older, volunteer = stage.member(2, speaks=CLOSED), stage.member(3)
    volunteer.tells(older.sign(Liveness(stage.pool, older.id, 1, 5)))
    assert stage.state_of(older) == "dead"
    older.says(Ping(1, bytes(8), 1, 5))
    assert stage.state_of(older) == "dead"


def test_a_forgotten_member_without_a_version_in_common_comes_back_as_dead() -> None:
    stage = Stage(speaks=LATER)
    older, volunteer = stage.member(2, speaks=CLOSED), stage.member(3)
    for bring_back in (
        lambda: volunteer.tells(older.sign(Liveness(stage.pool, older.id, 1, 5))),
        lambda: stage.node._parts.membership.heard(older.id, older.address),
    ):
        stage.node._parts.membership.forget(older.id)
        bring_back()
        assert stage.state_of(older) == "dead"
        assert stage.node._parts.membership.live_count() == 2


def test_void_suspicions_bring_no_member_back_that_has_no_version_in_common() -> None:
    stage = Stage(speaks=LATER)
    older, suspector = stage.member(2, speaks=CLOSED), stage.member(3)
    suspector.tells(suspector.suspicion(older.id))
    stage.perform(stage.node.evict(stage.now, suspector.id))
    assert stage.state_of(older) == "dead"


def test_the_next_run_of_a_member_counts_if_it_speaks_a_version_in_common() -> None:
    stage = Stage(speaks=LATER)
    actor = stage.member(2, speaks=CLOSED)
    actor.speaks, actor.generation = SPOKEN, 2
    actor.tells(actor.record())
    assert stage.state_of(actor) == "alive"
    actor.speaks, actor.generation = CLOSED, 3
    actor.tells(actor.record())
    assert stage.state_of(actor) == "dead"

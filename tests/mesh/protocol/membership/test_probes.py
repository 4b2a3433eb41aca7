import pytest

from mesh.protocol.base.effects import ProbeStream
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import seal
from mesh.wire.facts import Liveness
from mesh.wire.messages import Ack, Nack, Ping, PingRequest, Relayed
from tests.mesh.protocol.stage import Actor, Stage


def _late(stage: Stage, number: int = 2) -> tuple[ProbeStream, PingRequest | None]:
    """A probe of the actor whose direct answer is late."""
    actor = next(a for a in stage.actors.values())
    actor.answers = False
    while not stage.stream_probes:
        stage.wait(0.05)
    requests = [m for m in stage.take(PingRequest) if m.target == actor.id]
    return stage.stream_probes[0], requests[0] if requests else None


def test_members_are_probed_in_turns() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in range(2, 6)]
    stage.take(Ping)
    stage.wait(10 * stage.settings.probe_period)
    counts = [len(stage.take(Ping, actor)) for actor in actors]
    assert all(2 <= count <= 3 for count in counts)


def _unanswered(stage: Stage) -> tuple[Actor, list[Ping]]:
    """An actor and the pings of one probe of it, all without an answer, shortly before its end."""
    actor = stage.member(2)
    actor.answers = False
    while not stage.take(Ping, actor):
        stage.wait(0.01)
    return actor, pings_of(stage, actor, stage.settings.probe_timeout - 0.05)


def pings_of(stage: Stage, actor: Actor, seconds: float) -> list[Ping]:
    stage.wait(seconds)
    return stage.take(Ping, actor)


def test_a_ping_without_an_answer_is_sent_again_and_again() -> None:
    _, pings = _unanswered(Stage())
    assert len(pings) >= 4
    assert len({ping.token for ping in pings}) == len(pings)


def test_an_answer_to_any_of_the_tries_counts() -> None:
    stage = Stage()
    actor, pings = _unanswered(stage)
    actor.says(Ack(pings[-1].token, bytes(8), 1, 0))
    stage.wait(0.2)
    assert stage.state_of(actor) == "alive"


def test_an_answer_after_the_accusation_keeps_the_suspect_from_being_held_dead() -> None:
    stage = Stage()
    actor, pings = _unanswered(stage)
    stage.wait(0.2)
    assert stage.state_of(actor) == "suspect"
    actor.says(Ack(pings[-1].token, bytes(8), 1, 0))
    stage.wait(stage.settings.suspicion_timeout)
    assert stage.state_of(actor) == "suspect"


def test_an_answer_that_came_too_late_teaches_to_wait_longer() -> None:
    def until_suspected(stage: Stage, actor: Actor) -> float:
        actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
        actor.answers = False
        stage.take(Ping, actor)
        while not stage.take(Ping, actor):
            stage.wait(0.01)
        asked = stage.now
        while stage.state_of(actor) == "alive":
            stage.wait(0.01)
        return stage.now - asked

    prompt = Stage()
    assert until_suspected(prompt, prompt.member(2)) < 0.6
    stage = Stage()
    actor, pings = _unanswered(stage)
    stage.wait(0.4)
    actor.says(Ack(pings[-1].token, bytes(8), 1, 0))
    assert until_suspected(stage, actor) > 0.9


def test_a_round_trip_is_that_of_the_try_that_was_answered() -> None:
    stage = Stage()
    actor, pings = _unanswered(stage)
    actor.says(Ack(pings[-1].token, bytes(8), 1, 0))
    [member] = [m for m in stage.node.members() if m.id == actor.id]
    assert member.rtt is not None
    assert member.rtt < 0.1


def test_when_a_direct_answer_is_late_others_and_tcp_are_tried() -> None:
    stage = Stage()
    stage.member(2)
    helper = stage.member(3)
    probe, request = _late(stage)
    assert request is not None
    assert request.token == probe.token
    assert helper.id != probe.to


def test_when_a_direct_answer_is_late_its_other_addresses_are_tried() -> None:
    stage = Stage()
    actor = stage.member(2)
    moved = Endpoint("10.9.9.9", 4)
    stage.node._parts.membership.peers[actor.id].source = moved
    stage.sent.clear()
    _late(stage)
    assert {at for at, message in stage.sent if isinstance(message, Ping)} == {actor.address, moved}


def test_an_answer_through_another_counts_when_the_target_signed_it() -> None:
    stage = Stage()
    actor, helper = stage.member(2), stage.member(3)
    probe, _ = _late(stage)
    ack = messages.encode(Ack(probe.token, bytes(8), 1, 0))
    helper.says(Relayed(probe.token, seal(stage.pool, actor.id, 1, ack, actor.signer)))
    stage.wait(0.4)
    assert stage.state_of(actor) == "alive"


def test_an_answer_that_the_helper_made_up_does_not_count() -> None:
    stage = Stage()
    actor, helper = stage.member(2), stage.member(3)
    probe, _ = _late(stage)
    ack = messages.encode(Ack(probe.token, bytes(8), 1, 0))
    helper.says(Relayed(probe.token, seal(stage.pool, actor.id, 1, ack, helper.signer)))
    stage.wait(0.4)
    assert stage.state_of(actor) == "suspect"


def test_a_tcp_answer_counts() -> None:
    stage = Stage()
    actor = stage.member(2)
    probe, _ = _late(stage)
    stage.perform(stage.node.probe_result(stage.now, actor.id, probe.token, ok=True))
    stage.wait(0.3)
    assert stage.state_of(actor) == "alive"


def test_a_refused_port_makes_the_member_suspect_at_once_and_dead_soon() -> None:
    stage = Stage()
    actor = stage.member(2)
    probe, _ = _late(stage)
    stage.perform(stage.node.probe_result(stage.now, actor.id, probe.token, ok=False, refused=True))
    assert stage.state_of(actor) == "suspect"
    stage.wait(0.4)
    assert stage.state_of(actor) == "dead"


def test_a_probe_in_anothers_stead_hands_on_the_signed_answer() -> None:
    stage = Stage()
    asker, target = stage.member(2), stage.member(3)
    asker.says(PingRequest(77, target.id, target.address))
    assert [ping.token for ping in stage.take(Ping, target)] == [77]
    target.says(Ack(77, bytes(8), 1, 0))
    [relayed] = stage.take(Relayed, asker)
    assert relayed.token == 77


def test_a_helper_that_gets_no_answer_says_at_least_that_it_lives() -> None:
    stage = Stage()
    asker, target = stage.member(2), stage.member(3)
    target.answers = False
    asker.says(PingRequest(77, target.id, target.address))
    stage.wait(0.3)
    assert [nack.token for nack in stage.take(Nack, asker)] == [77]


def test_helpers_are_asked_again_and_ask_the_target_again() -> None:
    stage = Stage()
    stage.member(2)
    stage.member(3)
    probe, request = _late(stage)
    stage.wait(0.2)
    assert request is not None
    assert request in stage.take(PingRequest)
    other = next(actor for actor in stage.actors.values() if actor.id != probe.to)
    target = next(actor for actor in stage.actors.values() if actor.id == probe.to)
    for _ in range(3):
        other.says(PingRequest(77, target.id, target.address))
    assert [ping.token for ping in stage.take(Ping, target)].count(77) == 3


def _tokens_asked_for(stage: Stage, asker: Actor, target: Actor, first: int, count: int) -> set[int]:
    """The tokens of the pings that the target gets when the asker has questions asked in its stead."""
    stage.take(Ping, target)
    for token in range(first, first + count):
        asker.says(PingRequest(token, target.id, target.address))
    return {ping.token for ping in stage.take(Ping, target)}


def test_a_helper_asks_only_so_many_questions_at_a_time_for_one_asker() -> None:
    stage = Stage()
    greedy, modest, target = stage.member(2), stage.member(3), stage.member(4)
    target.answers = False
    assert _tokens_asked_for(stage, greedy, target, 1000, 100) == set(range(1000, 1064))
    assert _tokens_asked_for(stage, modest, target, 2000, 1) == {2000}
    stage.wait(3.0)
    assert _tokens_asked_for(stage, greedy, target, 3000, 1) == {3000}


def test_a_helper_asks_only_so_many_questions_at_a_time_for_all_askers() -> None:
    stage = Stage()
    target, *askers = (stage.member(number) for number in range(2, 9))
    target.answers = False
    asked = [
        len(_tokens_asked_for(stage, asker, target, 1000 * number, 60))
        for number, asker in enumerate(askers, start=1)
    ]
    assert asked == [60, 60, 60, 60, 16, 0]


def test_silent_helpers_make_a_node_doubt_itself_and_slow_down() -> None:
    def pings(helpers_speak: bool) -> int:
        stage = Stage()
        target, *helpers = (stage.member(number) for number in range(2, 6))
        target.answers = False
        for _ in range(200):
            stage.wait(0.05)
            for helper in helpers:
                for request in stage.take(PingRequest, helper):
                    if helpers_speak:
                        helper.says(Nack(request.token))
            target.tells(target.record())
            target.incarnation += 1
            target.says(Ping(0, bytes(8), 1, target.incarnation))
        return len([ping for ping in stage.take(Ping) if ping.token])

    assert pings(helpers_speak=False) < pings(helpers_speak=True)


def test_a_node_that_doubts_itself_finds_all_dead_soon_once_it_found_one() -> None:
    stage = Stage()
    settings, membership = stage.settings, stage.node._parts.membership
    _, *others = (stage.member(number) for number in range(2, 10))
    stage.wait(settings.probe_timeout)
    for other in others:
        other.answers = False
    membership.local_health = settings.max_local_health
    while not membership.dead:
        stage.wait(0.1)
    turn = settings.probe_period + settings.probe_timeout
    suspicion_timeout = settings.suspicion_timeout * settings.suspicion_timeout_stretch
    stage.wait(
        (1 + settings.max_local_health) * turn
        + len(membership.order) * settings.probe_period
        + suspicion_timeout
    )
    assert [stage.state_of(other) for other in others] == ["dead"] * len(others)


@pytest.mark.parametrize("company", [False, True])
def test_a_node_asks_as_many_of_the_dead_however_much_it_doubts_itself(company: bool) -> None:
    stage = Stage()
    settings, membership = stage.settings, stage.node._parts.membership
    if company:
        stage.member(9)
    others = [stage.member(number) for number in range(2, 6)]
    for other in others:
        other.answers = False
    membership.local_health = settings.max_local_health
    while len(membership.dead) < len(others):
        stage.wait(1.0)
    turn = (1 + settings.max_local_health) * settings.probe_period
    stage.wait(turn)
    stage.sent.clear()
    membership.local_health = settings.max_local_health
    stage.wait(3 * turn)
    assert sum(len(stage.take(Ping, other)) for other in others) >= 0.6 * 3 * turn / settings.dead_period


def test_each_address_of_the_dead_is_asked_in_turn_and_none_is_left_out_by_chance() -> None:
    stage = Stage()
    settings, membership = stage.settings, stage.node._parts.membership
    others = [stage.member(number) for number in range(2, 10)]
    for other in others:
        other.answers = False
    while len(membership.dead) < len(others):
        stage.wait(1.0)
    moved = membership.peers[others[0].id]
    moved.source = Endpoint("10.9.9.9", 4)
    addresses = sum(len(peer.endpoints()) for peer in membership.dead.values())
    assert addresses == len(others) + 1
    stage.wait(2 * addresses * settings.dead_period)
    stage.sent.clear()
    stage.wait(2 * addresses * settings.dead_period)
    asked = {to for to, message in stage.sent if isinstance(message, Ping)}
    assert asked >= {other.address for other in others} | {moved.source}


def test_a_member_is_found_at_the_address_it_answers_from() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(1.0)
    actor.address = Endpoint("10.9.9.9", 4)
    stage.actors[actor.address] = actor
    stage.wait(5.0)
    actor.says(Ping(1, bytes(8), 1, 0))
    stage.wait(3.0)
    assert stage.state_of(actor) == "alive"
    [member] = [m for m in stage.node.members() if m.id == actor.id]
    assert member.endpoint == actor.address


def test_an_old_answer_to_another_question_does_not_count() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    for _ in range(20):
        stage.wait(0.1)
        actor.says(Ack(12345, bytes(8), 1, 0))
    assert stage.state_of(actor) in ("suspect", "dead")


def test_a_member_without_an_address_is_suspected_and_dead_unless_it_refutes() -> None:
    stage = Stage()
    ghost = stage.member(2, known=False)
    teller = stage.member(3)
    teller.tells(ghost.sign(Liveness(stage.pool, ghost.id, 1, 0)))
    assert stage.state_of(ghost) == "alive"
    stage.wait(20.0)
    assert stage.state_of(ghost) == "dead"


def test_a_quarantined_member_of_a_pool_that_is_gone_is_steady_after_its_quarantine() -> None:
    stage = Stage()
    actors = [stage.member(number) for number in (2, 3)]
    for actor in actors:
        actor.answers = False
    flap_detector = stage.node._parts.membership.flap_detector
    flap_detector.stable = False
    stage.wait(60.0)
    assert flap_detector.stable


def test_an_answer_of_a_node_that_is_no_member_is_not_taken_from_a_relay() -> None:
    stage = Stage()
    actor, helper = stage.member(2), stage.member(3)
    probe, _ = _late(stage)
    ack = messages.encode(Ack(probe.token, bytes(8), 1, 0))
    stranger = stage.outsider(9)
    helper.says(Relayed(probe.token, seal(stage.pool, stranger.id, 1, ack, stranger.signer)))
    stage.wait(0.4)
    assert stage.state_of(actor) == "suspect"

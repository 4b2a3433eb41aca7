"""A datagram counts once, and only while its sender has not moved on."""

import random

from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol.limits.replays import OTHERS, WINDOW, Replays
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, first_number
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.messages import Ack, Ping
from tests.mesh.protocol.stage import OWN_ADDRESS, Stage

ELSEWHERE = Endpoint("10.6.6.6", 50052)
PING = Ping(7, bytes(8), 1, 0)
RUN = st.integers(0, 12)


def numbered(number: int, sender: bytes = b"s" * 16) -> Envelope:
    return Envelope(2, PoolId(b"p" * 16), NodeId(sender), number, True, b"", b"")


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=60))
def test_a_number_is_new_once_and_never_after_it_fell_out_of_the_window(numbers: list[int]) -> None:
    replays, noted = Replays(), set[int]()
    for number in numbers:
        envelope = numbered(number)
        expected = number not in noted and number > max(noted, default=0) - WINDOW
        assert replays.is_new(envelope, 0) is (expected or not noted)
        if replays.is_new(envelope, 0):
            replays.mark(envelope, 0)
            noted.add(number)


def test_what_comes_late_but_not_too_late_is_taken_in_any_order() -> None:
    replays, numbers = Replays(), list(range(WINDOW))
    random.Random(5).shuffle(numbers)
    for number in numbers:
        assert replays.is_new(numbered(number), 0)
        replays.mark(numbered(number), 0)
    assert not any(replays.is_new(numbered(number), 0) for number in numbers)


def test_a_datagram_of_a_run_before_the_present_one_is_not_new() -> None:
    replays = Replays()
    replays.mark(numbered(first_number(3)), 3)
    assert not replays.is_new(numbered(first_number(2) + 5), 3)
    assert replays.is_new(numbered(first_number(3) + 1), 3)


def test_each_sender_has_a_window_of_its_own() -> None:
    replays = Replays()
    replays.mark(numbered(5), 0)
    assert replays.is_new(numbered(5, b"t" * 16), 0)


def test_a_run_that_nobody_remembers_shuts_out_none_that_its_sender_is_in() -> None:
    replays, forgotten = Replays(), numbered(first_number(7) + 1000)
    replays.mark(numbered(first_number(2)), 2)
    replays.mark(forgotten, 2)
    assert not replays.is_new(forgotten, 2)
    for number in (first_number(2) + 1, first_number(3), first_number(3) + 1):
        assert replays.is_new(numbered(number), 2)
        replays.mark(numbered(number), 2)
        assert not replays.is_new(numbered(number), 2)
    replays.mark(numbered(first_number(3) + 2), 3)
    replays.mark(numbered(first_number(8)), 8)
    assert not replays.is_new(numbered(first_number(8)), 8)
    assert replays._others == {}


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), max_size=80))
def test_only_the_earliest_runs_have_windows_and_no_number_of_theirs_comes_twice(
    numbers: list[tuple[int, int]],
) -> None:
    replays, noted = Replays(), set[int]()
    for run, count in numbers:
        envelope = numbered(first_number(run) + count)
        if replays.is_new(envelope, 1):
            assert envelope.number not in noted
            noted.add(envelope.number)
            replays.mark(envelope, 1)
        assert len(replays._others.get(envelope.sender, {})) <= OTHERS


@given(
    st.lists(
        st.tuples(st.just(0) | st.just(0) | st.just(0) | RUN, RUN, st.integers(0, 2)),
        min_size=10,
        max_size=80,
    )
)
def test_the_proven_run_is_always_heard_whatever_was_heard_before_it_was_proven(
    heard: list[tuple[int, int, int]],
) -> None:
    replays, noted, generation = Replays(), set[int](), 0
    for proven, run, count in heard:
        generation = max(generation, proven)
        envelope = numbered(first_number(run) + count)
        is_new = replays.is_new(envelope, generation)
        if run < generation:
            assert not is_new, "an earlier run is over"
        elif run == generation:
            assert is_new or envelope.number in noted
        if is_new:
            noted.add(envelope.number)
            replays.mark(envelope, generation)


def test_a_forgotten_member_that_was_restarted_often_is_heard_once_its_run_is_proven() -> None:
    stage = Stage()
    actor = stage.member(2)
    later = range(actor.generation + 1, actor.generation + OTHERS + 1)
    for actor.generation in later:  # it is heard, but its records are not
        actor.says(PING)
    stage.node._parts.membership.forget(actor.id)
    actor.generation += 1
    actor.says(PING)
    assert len(stage.take(Ack)) == OTHERS, "a later run has no window as yet"
    stage.member(3).tells(actor.record())
    actor.says(PING)
    assert len(stage.take(Ack)) == 1


def test_a_member_is_heard_after_a_datagram_of_a_run_that_all_forgot_was_sent_again() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.generation = 7
    kept = actor.seal(PING)
    actor.generation = 1
    stage.perform(stage.node.receive(stage.now, ELSEWHERE, kept))
    stage.take(Ack)
    for _ in range(3):
        actor.says(PING)
    assert len(stage.take(Ack, actor)) == 3


def test_a_captured_datagram_that_is_sent_again_gets_no_answer_and_moves_nobody() -> None:
    stage = Stage()
    actor = stage.member(2)
    captured = actor.seal(PING)
    stage.perform(stage.node.receive(stage.now, actor.address, captured))
    assert len(stage.take(Ack)) == 1
    for source in (actor.address, ELSEWHERE):
        stage.perform(stage.node.receive(stage.now, source, captured))
    assert stage.take(Ack) == []
    (member,) = [member for member in stage.node.members() if member.id == actor.id]
    assert member.endpoint == actor.address


def test_a_replay_is_dropped_before_any_signature_is_checked() -> None:
    stage = Stage()
    actor = stage.member(2)
    captured = actor.seal(PING)
    stage.perform(stage.node.receive(stage.now, actor.address, captured))
    stage.node._parts.context.verifier = lambda key, message, signature: False
    stage.take(Ack)
    for _ in range(10_000):  # far beyond any budget, which it does not touch either
        stage.node.receive(stage.now, actor.address, captured)
    stage.node._parts.context.verifier = lambda key, message, signature: True
    actor.says(PING)
    assert len(stage.take(Ack)) == 1


def test_what_an_earlier_run_of_a_member_said_is_stale() -> None:
    stage = Stage()
    actor = stage.member(2)
    early = actor.seal(PING)
    actor.generation = 2
    actor.tells(actor.record())
    stage.perform(stage.node.receive(stage.now, actor.address, early))
    assert stage.take(Ack) == []


def test_a_forged_number_does_not_shut_its_alleged_sender_out() -> None:
    stage = Stage()
    actor = stage.member(2)
    payload = bytearray(actor.seal(PING))
    payload[33:41] = (2**64 - 1).to_bytes(8, "big")
    stage.perform(stage.node.receive(stage.now, ELSEWHERE, bytes(payload)))
    actor.says(PING)
    assert len(stage.take(Ack)) == 1


def test_a_node_that_was_rolled_back_advances_beyond_its_record_and_is_heard_again() -> None:
    before = Stage()
    disk = dict(before.disk)
    later = before.restarted().restarted()
    (own,) = [s.data for s in later.node.inspect().facts() if type(s.fact).__name__ == "Record"]
    back = Stage(stored=disk, start=False)
    back.perform(back.node.start(back.now, back.profile))
    assert back.node.generation < later.node.generation
    actor = back.member(2)
    actor.tells(own)
    assert back.node.generation == later.node.generation + 1
    assert back.node._parts.context.sent >= first_number(later.node.generation + 1)


def test_a_node_numbers_what_it_sends_upwards_and_above_its_last_run() -> None:
    stage = Stage()
    stage.member(2).says(PING)
    sent = stage.node._parts.context.sent
    assert sent > first_number(stage.node.generation)
    assert stage.restarted().node._parts.context.sent > sent
    assert stage.node.members()[0].endpoint in (OWN_ADDRESS, Endpoint("10.0.1.2", 50052))

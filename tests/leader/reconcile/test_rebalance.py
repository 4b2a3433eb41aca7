"""Planned moves: when they pay, when they happen, and that they come to rest."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.placement.planner import Plan, place
from leader.reconcile.decide import ASKING, decide
from leader.reconcile.rebalance import (
    DRAIN,
    LEAST_GAIN,
    LONGEST_STAY,
    QUIET,
    STABLE,
    better,
    members,
    pays,
)
from leader.reconcile.view import (
    Drain,
    MemberView,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    ResolveMove,
    Running,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from mesh.wire.states import Phase
from tests.leader.reconcile.test_decide import (
    ME,
    ROOT,
    SHAPE,
    USED,
    W1,
    W2,
    WANTED,
    kinds,
    leader,
    member,
    only,
    view,
)
from tests.leader.shapes import GIB, MIB, host, model_info, worker

FAST = replace(worker(2), layer_seconds=0.0001, memory_offered=GIB)
SLOW_PLAN = place(SHAPE, [host(60 * MIB), worker(1)], EngineSettings(512, 1))
BOTH = (leader(), member(1), member(2, devices=(FAST,)))
ALL = USED | {W2}


def ready(answers: int = 0, plan: Plan = SLOW_PLAN, load: float = 1.0) -> Running:
    return Running(WANTED, plan, Phase.READY, 1.0, answers=answers, load_seconds=load)


def settled(leases: frozenset[bytes] = ALL, **changes: object) -> tuple[View, ReconcilerMemory]:
    """A model ready since 0, a faster worker there and leased, nothing to do: as of 100 s."""
    seen = view(*BOTH, running=ready(), leases=leases)
    return replace(seen, **changes), ReconcilerMemory(ready_since=0.0, better_since=0.0, quiet_since=0.0)  # type: ignore[arg-type]


def test_a_faster_worker_that_came_is_leased_only_when_it_stays() -> None:
    seen, _ = settled(leases=USED)
    memory = decide(0, seen, ReconcilerMemory()).memory
    first = decide(100, seen, memory)
    assert only(first, WantLeases).workers == USED
    assert first.again_at == 100 + STABLE
    later = decide(100 + STABLE, seen, first.memory)
    assert only(later, WantLeases).workers == ALL
    assert Stop not in kinds(later)
    moves = decide(101 + STABLE, replace(seen, leases=ALL), later.memory)
    assert only(moves, Stop) == Stop("a placement 8.9 times as fast", keep=True)
    again = decide(101 + STABLE, replace(seen, running=None, leases=ALL), moves.memory)
    start = only(again, Start)
    assert start.plan.workers == (W2,)
    assert start.restore
    assert only(again, Report).phase == "moving"


def test_a_faster_worker_that_goes_again_begins_its_time_anew() -> None:
    seen, memory = settled()
    gone = decide(100, replace(seen, members=BOTH[:2]), memory)
    assert gone.memory.better_since is None
    assert Stop not in kinds(decide(101, seen, gone.memory))


@pytest.mark.parametrize("asked", ["", "idle"])
def test_no_answer_is_cut_by_a_move(asked: str) -> None:
    seen, memory = settled(running=ready(answers=1), asked=asked)
    decision = decide(100, seen, memory)
    assert Stop not in kinds(decision)
    assert (Drain in kinds(decision)) == bool(asked), "who wishes for a move has new requests wait for it"


def test_after_the_last_answer_a_move_waits_for_the_next_question() -> None:
    seen, memory = settled()
    busy = decide(100, replace(seen, running=ready(answers=1)), memory)
    quiet = decide(101, seen, busy.memory)
    assert quiet.again_at == 101 + QUIET
    assert Stop in kinds(decide(101 + QUIET, seen, quiet.memory))


def test_a_wish_for_a_move_waits_for_answers_but_not_for_ever() -> None:
    seen, memory = settled(running=ready(answers=1), asked="idle")
    first = decide(100, seen, memory)
    assert only(first, Report) == Report(Phase.MOVING, 0.0, "moves once 1 answer is given")
    assert only(decide(101, replace(seen, running=ready()), first.memory), Stop).keep
    at_last = decide(100 + DRAIN, seen, first.memory)
    assert not only(at_last, Stop).keep, "slots that are at work cannot be saved"


def test_a_wish_for_a_move_now_is_granted_at_once() -> None:
    seen, memory = settled(running=ready(answers=1), asked="now")
    decision = decide(100, seen, memory)
    assert kinds(decision)[:2] == [ResolveMove, Stop]


def test_a_wish_is_granted_though_the_move_would_not_pay() -> None:
    seen, _ = settled(running=ready(load=1e6), asked="idle")
    assert Stop in kinds(decide(0.0, seen, ReconcilerMemory()))
    assert Stop not in kinds(decide(0.0, replace(seen, asked=""), ReconcilerMemory()))


def test_a_wish_that_nothing_can_be_done_about_is_answered() -> None:
    placed, memory = settled(members=BOTH[:2], asked="idle")
    assert only(decide(100, placed, memory), ResolveMove).text == "toy is placed as well as it can be"
    barred, memory = settled(leases=USED, asked="now")
    waits = decide(100, barred, memory)
    assert ResolveMove not in kinds(waits)
    refused = decide(100 + ASKING, barred, waits.memory)
    assert only(refused, ResolveMove).text == "no lease from w2"
    assert Stop not in kinds(refused)
    for idle in (replace(placed, running=None), replace(placed, leading=False), replace(placed, wanted=None)):
        assert "nothing is served" in only(decide(100, idle, ReconcilerMemory()), ResolveMove).text


def test_what_was_kept_is_restored_for_the_same_deployment_alone() -> None:
    seen, _ = settled(running=None)
    kept = ReconcilerMemory(moved="a better placement", kept=WANTED)
    assert only(decide(0, seen, kept), Start).restore
    other = replace(seen, wanted=replace(WANTED, settings=EngineSettings(256)))
    assert not only(decide(0, other, kept), Start).restore


def test_conversations_do_not_wait_for_another_deployment_than_theirs() -> None:
    waits, _ = settled(running=None, leases=frozenset())
    kept = ReconcilerMemory(moved="a better placement", kept=WANTED)
    assert decide(0, waits, kept).memory.kept == WANTED
    others = replace(WANTED, settings=EngineSettings(256)), replace(WANTED, running=False), None
    for wanted in others:
        assert decide(0, replace(waits, wanted=wanted), kept).memory.kept is None
    assert decide(0, replace(waits, leading=False), kept).memory.kept is None


def test_pings_of_a_local_network_are_no_reason_to_move() -> None:
    far = [host(60 * MIB), worker(1, rtt=0.0045), worker(2, rtt=0.0001)]
    assert better(SLOW_PLAN, far, {}) is None
    across = [host(60 * MIB), worker(1, rtt=0.05), worker(2, rtt=0.0001)]
    found = better(SLOW_PLAN, across, {})
    assert found is not None
    assert W2 in members(found[0])


def test_round_trips_that_waver_are_not_placed_anew_each_time() -> None:
    def look(rtt: float) -> object:
        return better(SLOW_PLAN, [host(60 * MIB), worker(1, rtt=rtt), worker(2, rtt=0.0001)], {})

    first = look(0.0500)
    assert look(0.0505) is first
    assert look(0.0700) is not first


def test_a_move_goes_where_it_was_decided_to_go_and_rests_there() -> None:
    """By exact round trips the machine nearby would be chosen again, and left again, for ever."""
    near, far = worker(1, rtt=0.0001), worker(2, rtt=0.009, seconds=0.001)
    members = (leader(), member(1, devices=(near,)), member(2, devices=(far,)))
    assert place(SHAPE, [host(60 * MIB), near, far], EngineSettings(512, 1)).workers == (near.member,)
    seen, memory = settled(members=members)
    moves = decide(100, seen, memory)
    start = only(decide(100, replace(seen, running=None), moves.memory), Start)
    assert start.plan.workers == (far.member,)
    assert sum(stage.layers for stage in start.plan.stages) == 8
    rests = replace(seen, running=ready(plan=start.plan), leases=ALL)
    assert decide(1e6, rests, ReconcilerMemory(ready_since=0.0)).memory.better_since is None


def test_a_move_whose_aim_is_gone_goes_to_what_is_left() -> None:
    seen, memory = settled()
    moves = decide(100, seen, memory)
    gone = replace(seen, running=None, leases=USED, members=BOTH[:2])
    assert only(decide(100, gone, moves.memory), Start).plan.workers == (W1,)


def test_what_does_not_pay() -> None:
    assert not pays(LEAST_GAIN - 0.01, 1e6, 0.0), "predictions are not that good"
    assert not pays(1.0, 10.0, 5.0), "it may not be served long enough"
    assert pays(1.0, 100.0, 5.0)
    assert not pays(0.25, 1e9, LONGEST_STAY), "nobody knows what is in a year"


@given(st.floats(LEAST_GAIN, 10), st.floats(0, 2 * LONGEST_STAY), st.floats(0, 100), st.floats(0, 1))
def test_what_pays_pays_as_well_with_a_shorter_load(
    gain: float, ready_for: float, load: float, part: float
) -> None:
    assert pays(gain, ready_for, part * load) or not pays(gain, ready_for, load)


WORKERS = st.lists(
    st.tuples(
        st.integers(40, 200),
        st.sampled_from([0.0001, 0.002, 0.01]),
        st.sampled_from([0.0005, 0.004, 0.03]),
    ),
    min_size=1,
    max_size=5,
)


@given(WORKERS, st.integers(0, 2))
def test_in_a_world_that_stays_as_it_is_a_pool_comes_to_rest(
    workers: list[tuple[int, float, float]], answers: int
) -> None:
    """At most one move from any placement to the best; then every decision is to stay."""
    devices = [worker(number + 1, memory * MIB, *rest) for number, (memory, *rest) in enumerate(workers)]
    members = [leader(200 * MIB), *(member(n + 1, devices=(device,)) for n, device in enumerate(devices))]
    plan = place(model_info(8), [host(200 * MIB)], EngineSettings(512, 1))
    everyone = frozenset(one.id for one in members)
    seen = View(ME, True, Wanted("toy", ROOT, EngineSettings(512)), SHAPE, tuple(members), everyone)
    moves, memory, run = 0, ReconcilerMemory(), ready(answers, plan)
    for second in range(0, 400, 4):
        decision = decide(float(second), replace(seen, running=run), memory)
        memory = decision.memory
        if Stop in kinds(decision):
            assert answers == 0, "never during an answer"
            moves += 1
            restart = decide(float(second), seen, memory)
            memory, run = restart.memory, ready(answers, only(restart, Start).plan)
    assert moves <= 1


def test_leases_that_a_move_asked_for_are_given_back_when_it_pays_no_more() -> None:
    seen, memory = settled(members=BOTH[:2])
    decision = decide(100, seen, memory)
    assert only(decision, ReleaseLeases).workers == {W2}


def test_an_unusable_member_is_nowhere_to_move_to() -> None:
    for changes in ({"paused": True}, {"reachable": False}, {"alive": False}, {"engine": "building"}):
        shy: MemberView = member(2, devices=(FAST,), **changes)
        seen, memory = settled(members=(*BOTH[:2], shy))
        assert Stop not in kinds(decide(100, seen, memory))

"""The reconciler's rules, one sentence each."""

from dataclasses import replace
from typing import Any

import pytest

from leader.blame.quarantines import Exclusion
from leader.blame.shapes import shape
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import Plan, place
from leader.reconcile.decide import GIVING_UP, SETTLE, decide
from leader.reconcile.view import (
    Action,
    Copying,
    Decision,
    Drain,
    HandOver,
    MemberView,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    Running,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from mesh.wire.profile import Model
from mesh.wire.states import Phase
from tests.leader.shapes import GIB, MIB, host, model_info, worker

ME, W1, W2 = b"\xff" * 16, worker(1).member, worker(2).member
ROOT = b"r" * 32
WANTED = Wanted("toy", ROOT, EngineSettings(512))
SHAPE = model_info(8)


def leader(memory: int = 60 * MIB, **changes: Any) -> MemberView:
    said = {"id": ME, "name": "me", "models": frozenset({ROOT}), "memory_offered": memory}
    return MemberView(**{**said, "devices": (host(memory),), **changes})


def member(number: int, memory: int = 100 * MIB, **changes: Any) -> MemberView:
    said = {"id": bytes([number]) * 16, "name": f"w{number}", "memory_offered": memory}
    return MemberView(**{**said, "devices": (worker(number, memory),), **changes})


def view(*members: MemberView, **changes: Any) -> View:
    members = members or (leader(), member(1), member(2))
    return View(
        **{"me": ME, "leading": True, "wanted": WANTED, "model_info": SHAPE, "members": members, **changes}
    )


ALL = frozenset({ME, W1, W2})


def running(phase: Phase = Phase.READY, **changes: Any) -> Running:
    plan = place(SHAPE, [host(60 * MIB), worker(1)], EngineSettings(512, 1))
    assert plan.workers == (W1,)
    return Running(**{"wanted": WANTED, "plan": plan, "phase": phase, **changes})


USED = frozenset({ME, W1})


def only(decision: Decision, kind: type[Any]) -> Any:
    found = [action for action in decision.actions if isinstance(action, kind)]
    assert len(found) == 1, decision.actions
    return found[0]


def kinds(decision: Decision) -> list[type[Action]]:
    return [type(action) for action in decision.actions]


@pytest.mark.parametrize(
    ("changes", "report"),
    [
        ({"leading": False}, []),
        ({"wanted": None}, []),
        ({"wanted": replace(WANTED, running=False)}, [Report(Phase.STOPPED)]),
    ],
)
def test_without_a_task_the_engine_ends_and_leases_are_given_back(changes: Any, report: list[Report]) -> None:
    decision = decide(0, view(running=running(), leases=USED, **changes), ReconcilerMemory(asked=USED))
    assert kinds(decision)[:2] == [Stop, ReleaseLeases]
    assert list(decision.actions[2:]) == report
    assert decision.memory == ReconcilerMemory()


def test_with_nothing_to_do_nothing_is_done() -> None:
    assert decide(0, view(wanted=None), ReconcilerMemory()).actions == ()


def test_first_all_usable_workers_and_the_leader_itself_are_asked_for_leases() -> None:
    decision = decide(10.0, view(), ReconcilerMemory())
    assert only(decision, WantLeases).workers == ALL
    assert only(decision, Report) == Report(Phase.WAITING, 0.0, "asks me, w1, w2 to compute for it")
    assert decision.again_at == 10.0 + SETTLE


def test_when_all_leases_are_granted_it_starts_at_once() -> None:
    asked = decide(10.0, view(), ReconcilerMemory()).memory
    decision = decide(10.1, view(leases=ALL), asked)
    assert sum(stage.layers for stage in only(decision, Start).plan.stages) == 8


def test_a_lease_that_would_not_help_is_not_waited_for() -> None:
    asked = decide(10.0, view(), ReconcilerMemory()).memory
    plan = only(decide(10.1, view(leases=USED), asked), Start).plan
    assert plan.workers == (W1,)


def test_a_lease_that_would_make_it_better_is_waited_for_one_second() -> None:
    fast = replace(worker(2), layer_seconds=0.0001)
    better = view(leader(), member(1), member(2, devices=(fast,)), leases=USED)
    asked = decide(10.0, better, ReconcilerMemory()).memory
    waiting = decide(10.5, better, asked)
    assert Start not in kinds(waiting)
    assert only(waiting, Report).reason == "asks w2 to compute for it"
    plan = only(decide(11.0, better, waiting.memory), Start).plan
    assert plan.workers == (W1,)


def test_a_plan_that_lacks_a_lease_waits_as_long_as_it_must() -> None:
    small = view(leader(), member(1, 60 * MIB), member(2, 60 * MIB), leases=USED)
    decision = decide(99.0, small, ReconcilerMemory(asked=ALL, asked_since=10.0))
    report = only(decision, Report)
    assert report.phase == "waiting"
    assert "are missing" in report.reason
    assert "no lease yet from w2" in report.reason


def test_a_model_that_fits_on_the_leader_runs_there_and_frees_the_others() -> None:
    big = view(leader(GIB), member(1), member(2), leases=ALL)
    start = only(decide(0, big, ReconcilerMemory()), Start)
    assert start.plan.workers == ()
    runs = replace(big, running=Running(WANTED, start.plan, Phase.LOADING))
    decision = decide(1, runs, ReconcilerMemory())
    assert only(decision, WantLeases).workers == {ME}
    assert only(decision, ReleaseLeases).workers == {W1, W2}


def test_too_large_a_model_waits_and_says_who_offered_what() -> None:
    decision = decide(0, view(model_info=model_info(100), leases=ALL), ReconcilerMemory())
    report = only(decision, Report)
    assert report.phase == "waiting"
    for part in ("are missing", "host 60.0 MiB", "w1 100 MiB", "w2 100 MiB"):
        assert part in report.reason
    assert Start not in kinds(decision)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"alive": False}, "is not reachable"),
        ({"reachable": False}, "is not reachable"),
        ({"work": False}, "does not work"),
        ({"paused": True}, "is paused"),
        ({"engine": "building", "engine_reason": "40%"}, "has no engine ready: 40%"),
        ({"engine": "failed", "engine_reason": "no disk"}, "its engine failed: no disk"),
        ({"engine_version": "b1/6.0"}, "has another llama.cpp (b1/6.0)"),
        ({"memory_offered": 0}, "offers no memory"),
    ],
)
def test_a_worker_that_cannot_is_not_asked_and_the_reason_is_told(changes: Any, why: str) -> None:
    decision = decide(
        0,
        view(leader(), member(1, **changes), model_info=model_info(100), leases=frozenset({ME})),
        ReconcilerMemory(),
    )
    assert only(decision, WantLeases).workers == {ME}
    assert f"not used: w1 ({why})" in only(decision, Report).reason


def test_fixed_layers_wait_for_the_lease_of_their_member_though_others_are_faster() -> None:
    wanted = replace(WANTED, layers={(W2, ""): 3})
    quick = leader(devices=(host(GIB, seconds=1e-6),))
    pending = view(quick, member(1), member(2), wanted=wanted, leases=frozenset({ME, W1}))
    for now in (0, 100):
        decision = decide(now, pending, ReconcilerMemory(asked_since=0))
        assert Start not in kinds(decision), "not even after the time in which better leases may come"
        assert "w2" in only(decision, Report).reason


def test_fixed_layers_wait_for_the_device_they_name() -> None:
    wanted = replace(WANTED, layers={(W2, "CUDA0"): 3})
    absent = view(leader(), member(1), member(2), wanted=wanted, leases=USED)
    reason = only(decide(0, absent, ReconcilerMemory()), Report).reason
    assert reason == "w2/CUDA0 is to hold layers but is not there"


def test_fixed_layers_wait_for_the_member_they_name() -> None:
    wanted = replace(WANTED, layers={(W2, ""): 3})
    gone = member(3, alive=False)
    absent = view(leader(), member(1), member(2, paused=True), gone, wanted=wanted, leases=USED)
    report = only(decide(0, absent, ReconcilerMemory()), Report)
    assert report.reason == "who is to hold layers cannot: w2 (is paused)"
    start = only(decide(0, view(wanted=wanted, leases=ALL), ReconcilerMemory()), Start)
    assert {s.device.member: s.layers for s in start.plan.stages}[W2] == 3


def test_while_loading_the_progress_is_told_and_only_the_plans_leases_are_kept() -> None:
    decision = decide(0, view(running=running(Phase.LOADING, progress=0.4), leases=ALL), ReconcilerMemory())
    assert only(decision, Report) == Report(Phase.LOADING, 0.4)
    assert only(decision, WantLeases).workers == USED
    assert only(decision, ReleaseLeases).workers == {W2}


def test_a_newly_come_worker_does_not_disturb_a_running_plan() -> None:
    decision = decide(
        0,
        view(leader(), member(1), member(2), member(3, GIB), running=running(), leases=USED),
        ReconcilerMemory(),
    )
    assert kinds(decision) == [WantLeases, Report]
    assert only(decision, Report) == Report(Phase.READY, 1.0)


def test_a_used_worker_that_membership_holds_dead_does_not_end_a_plan_that_runs() -> None:
    decision = decide(
        0, view(leader(), member(1, alive=False), running=running(), leases=USED), ReconcilerMemory()
    )
    assert Stop not in kinds(decision)


def test_a_used_worker_whose_lease_is_lost_ends_the_plan_and_the_next_is_a_move() -> None:
    lost = decide(5, view(running=running(), leases=frozenset({ME})), ReconcilerMemory())
    assert only(lost, Stop).reason == "lost w1"
    assert only(lost, Report).phase == "moving"
    assert lost.again_at == 5
    remaining = view(leader(), member(2), leases=frozenset({ME, W2}))
    again = decide(5, remaining, lost.memory)
    assert only(again, Start).plan.workers == (W2,)
    assert only(again, Report) == Report(Phase.MOVING, 0.0, "lost w1")


LOST_W1 = (leader(), member(1, reachable=False), member(2))


def test_a_worker_lost_after_a_good_run_explains_the_end_so_there_is_no_pause() -> None:
    died = running(Phase.FAILED, reason="llama-server was killed by SIGABRT")
    decision = decide(50, view(*LOST_W1, running=died, leases=USED), ReconcilerMemory(ready_since=10))
    assert only(decision, Stop).reason == "lost w1: llama-server was killed by SIGABRT"
    assert (decision.memory.failures, decision.again_at) == (0, 50)


@pytest.mark.parametrize("ready_since", [None, 30.0])
def test_a_load_or_a_short_run_that_ends_in_a_lost_worker_is_a_failure(ready_since: float | None) -> None:
    died = running(Phase.FAILED, reason="lost w1: the worker closed the tunnel")
    memory = ReconcilerMemory(failures=1, ready_since=ready_since)
    decision = decide(50, view(*LOST_W1, running=died, leases=USED), memory)
    assert only(decision, Stop).reason == "lost w1: the worker closed the tunnel"
    assert (decision.memory.failures, decision.again_at) == (2, 50.2)


def test_llama_server_is_started_again_after_pauses_that_grow() -> None:
    memory = ReconcilerMemory()
    now, pauses = 100.0, []
    for _ in range(9):
        decision = decide(
            now, view(running=running(Phase.FAILED, reason="out of memory"), leases=USED), memory
        )
        assert only(decision, Stop).reason == "out of memory"
        assert decision.again_at is not None
        pauses.append(decision.again_at - now)
        held = decide(decision.again_at - 0.01, view(leases=ALL), decision.memory)
        assert Start not in kinds(held)
        assert "out of memory" in only(held, Report).reason
        started = decide(decision.again_at, view(leases=ALL), held.memory)
        assert Start in kinds(started)
        now, memory = decision.again_at, started.memory
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])


def test_after_some_failures_in_a_row_the_phase_says_failed() -> None:
    memory = ReconcilerMemory(failures=GIVING_UP - 1)
    decision = decide(0, view(running=running(Phase.FAILED, reason="bad file"), leases=USED), memory)
    assert only(decision, Report).phase == "failed"


def test_a_good_run_forgives_earlier_failures() -> None:
    ready = view(running=running(), leases=USED)
    memory = decide(0, ready, ReconcilerMemory(failures=5)).memory
    assert memory.failures == 5
    memory = decide(31, ready, memory).memory
    assert memory.failures == 0
    failed = decide(
        32, view(running=running(Phase.FAILED, reason="x"), leases=USED), replace(memory, failures=5)
    )
    assert failed.memory.failures == 1


def test_answers_that_are_given_come_to_their_end_before_another_model_takes_over() -> None:
    other = replace(WANTED, name="new", root=b"n" * 32)
    busy = view(wanted=other, running=running(answers=2), leases=USED)
    first = decide(100, busy, ReconcilerMemory())
    assert kinds(first) == [WantLeases, Drain, Report]
    assert only(first, Report) == Report(Phase.LOADING, 0.0, "new replaces toy once 2 answers are given")
    assert Drain in kinds(decide(129, busy, first.memory))
    assert Stop in kinds(decide(110, replace(busy, running=running()), first.memory))
    assert Stop in kinds(decide(130, busy, first.memory)), "but not for ever"


def test_answers_that_cannot_go_on_are_not_waited_for() -> None:
    other = replace(WANTED, name="new", root=b"n" * 32)
    for cut in (running(answers=1), running(Phase.FAILED, answers=1), running(Phase.LOADING, answers=1)):
        leases = frozenset({ME}) if cut.phase == "ready" else USED
        assert Stop in kinds(decide(0, view(wanted=other, running=cut, leases=leases), ReconcilerMemory()))


def test_another_deployment_ends_what_runs_and_the_same_again_does_not() -> None:
    other = replace(WANTED, settings=EngineSettings(1024))
    decision = decide(0, view(wanted=other, running=running(), leases=USED), ReconcilerMemory())
    assert Stop in kinds(decision)
    assert "toy gets other settings" in only(decision, Report).reason
    same = replace(WANTED, layers={})
    assert Stop not in kinds(decide(0, view(wanted=same, running=running(), leases=USED), ReconcilerMemory()))


def test_a_leader_without_the_file_hands_over_to_the_best_member_that_holds_it() -> None:
    holds: Any = {"models": frozenset({ROOT})}
    holds["devices"] = ()  # what they would be in a plan is not known without the file
    members = (leader(models=frozenset()), member(1, **holds), member(2, GIB, **holds), member(3, GIB))
    decision = decide(7, view(*members, model_info=None, leases=frozenset({ME})), ReconcilerMemory())
    assert only(decision, HandOver).to == W2
    assert kinds(decision)[0] is ReleaseLeases
    again = decide(8, view(*members, model_info=None), decision.memory)
    assert HandOver not in kinds(again)
    assert again.again_at == 12
    assert HandOver in kinds(decide(12, view(*members, model_info=None), again.memory))


def test_whoever_leads_holds_the_model_and_the_file_beside_it() -> None:
    beside = Model("mmproj.gguf", 77, b"p" * 32)
    wanted = replace(WANTED, projector=beside)
    both, model = frozenset({ROOT, beside.root}), frozenset({ROOT})
    half = view(
        leader(), member(1, GIB, models=model), member(2, models=both), wanted=wanted, model_info=None
    )
    assert only(decide(7, half, ReconcilerMemory()), HandOver).to == W2
    apart = member(1, models=frozenset({beside.root}), lead=False)
    waiting = view(leader(), apart, wanted=wanted, model_info=None)
    report = only(decide(7, waiting, ReconcilerMemory()), Report)
    together = "no member holds all files, so they are copied together"
    assert report.reason == f"this leader does not hold mmproj.gguf; {together}"
    failed = leader(engine="failed", models=both)
    others = (member(1, GIB, models=model), member(2, models=both))
    decision = decide(7, view(failed, *others, wanted=wanted), ReconcilerMemory())
    assert only(decision, HandOver).to == W2


def test_a_leader_without_the_file_waits_and_says_who_holds_it() -> None:
    holds: Any = {"models": frozenset({ROOT})}
    members = (leader(models=frozenset()), member(1, alive=False, **holds), member(2, lead=False, **holds))
    report = only(decide(0, view(*members, model_info=None), ReconcilerMemory()), Report)
    assert (
        report.reason
        == "this leader does not hold toy; it is held by w1 (is not reachable), w2 (may not lead)"
    )
    nobody = only(decide(0, view(leader(models=frozenset()), model_info=None), ReconcilerMemory()), Report)
    again = "and no member holds it: bring it back or serve it again"
    assert nobody.reason == f"this leader does not hold toy, {again}"
    lost = only(
        decide(0, view(leader(models=frozenset()), model_info=None, lost="t.gguf"), ReconcilerMemory()),
        Report,
    )
    assert lost.reason == f"t.gguf was moved, removed or changed, {again}"


def test_a_leader_that_copies_the_file_from_who_may_not_lead_says_how_far_it_is() -> None:
    holder = member(2, lead=False, models=frozenset({ROOT}))
    absent = leader(models=frozenset())
    copying = Copying(64 << 20, 256 << 20, 12 << 20)
    decision = decide(
        0, view(absent, holder, model_info=None, copying=copying, leases=ALL), ReconcilerMemory()
    )
    report = Report(Phase.COPYING, 0.25, "copies toy from w2: 64.0 MiB of 256 MiB, 16 s left")
    assert decision.actions == (ReleaseLeases(ALL), report)
    able = replace(holder, lead=True)
    handing = decide(0, view(absent, able, model_info=None, copying=copying), ReconcilerMemory())
    assert only(handing, HandOver).to == W2


def test_a_leader_whose_engine_is_being_built_waits() -> None:
    decision = decide(
        0, view(leader(engine="building", engine_reason="compiling 40%"), member(1)), ReconcilerMemory()
    )
    assert decision.actions == (
        Report(Phase.WAITING, 0.0, "the leader's engine is being built: compiling 40%"),
    )


def test_a_leader_that_cannot_get_an_engine_hands_over_or_fails_with_the_reason() -> None:
    broken = leader(engine="failed", engine_reason="no compiler")
    holds: Any = {"models": frozenset({ROOT})}
    assert only(decide(0, view(broken, member(1, **holds)), ReconcilerMemory()), HandOver).to == W1
    report = only(decide(0, view(broken, member(1)), ReconcilerMemory()), Report)
    assert report == Report(Phase.FAILED, 0.0, "no engine here: no compiler")


def test_what_takes_the_place_of_what_runs_is_named() -> None:
    for wanted, reason in (
        (replace(WANTED, name="new", root=b"n" * 32), "new replaces toy"),
        (replace(WANTED, settings=EngineSettings(256)), "toy gets other settings"),
    ):
        decision = decide(0, view(wanted=wanted, running=running(), leases=USED), ReconcilerMemory())
        assert only(decision, Report) == Report(Phase.LOADING, 0.0, reason)
        assert Stop in kinds(decision)


# --- what failed before


LEFT_OUT = Exclusion(120.0, "its rpc-server ended with SIGABRT")


FRESH = ReconcilerMemory()


def started(seen: View, memory: ReconcilerMemory = FRESH) -> Plan:
    plan: Plan = only(decide(99, seen, replace(memory, asked_since=0.0)), Start).plan
    return plan


def test_a_device_that_failed_is_left_out_while_others_can_serve() -> None:
    fast = replace(worker(1), layer_seconds=0.0001)
    seen = view(leader(), member(1, devices=(fast,)), member(2), leases=ALL)
    assert started(seen).workers == (W1,)
    assert started(replace(seen, left_out={fast.key: LEFT_OUT})).workers == (W2,)


def test_leases_of_others_are_waited_for_before_one_that_failed_is_tried_again() -> None:
    seen = view(leases=USED, left_out={worker(1).key: LEFT_OUT})
    decision = decide(10.0, seen, ReconcilerMemory())
    assert only(decision, Report).reason == "asks w2 to compute for it"
    assert started(seen).workers == (W1,), "but not for ever"


def test_where_nothing_else_can_serve_what_failed_is_tried_again_a_few_times() -> None:
    seen = view(leader(), member(1), leases=USED, left_out={worker(1).key: LEFT_OUT})
    for failures in range(GIVING_UP):
        assert started(seen, ReconcilerMemory(failures=failures)).workers == (W1,)
    given_up = decide(99, seen, ReconcilerMemory(failures=GIVING_UP, asked_since=0.0))
    report = only(given_up, Report)
    assert report.phase == "failed"
    assert "not used: w1 (left out for 2 min: its rpc-server ended with SIGABRT)" in report.reason
    assert given_up.again_at == 99 + 120
    over = replace(seen, left_out={})
    assert started(over, given_up.memory).workers == (W1,), "and again once its time is over"


def test_a_worker_that_aborts_at_each_load_is_asked_three_times_and_then_named() -> None:
    seen = view(leader(), member(1), leases=USED)
    now, memory, loads, told = 0.0, ReconcilerMemory(), 0, []
    while now < 600:
        decision = decide(now, seen, memory)
        memory = decision.memory
        told += [one for one in decision.actions if isinstance(one, Report)]
        if start := next((one for one in decision.actions if isinstance(one, Start)), None):
            loads += 1
            now += 5
            failed = Running(WANTED, start.plan, Phase.FAILED, reason="lost w1: the worker closed the tunnel")
            seen = replace(seen, running=failed, left_out={worker(1).key: Exclusion(60, LEFT_OUT.reason)})
        elif any(isinstance(one, Stop) for one in decision.actions):
            seen = replace(seen, running=None)
            now += 0.2
        else:
            now += 1
    assert loads == GIVING_UP == 3
    assert [report.phase for report in told].index(Phase.FAILED) < 20
    given_up = [report.reason for report in told if report.phase is Phase.FAILED]
    assert all("w1" in reason and "its rpc-server ended with SIGABRT" in reason for reason in given_up)


def test_a_placement_that_failed_is_not_tried_again_unchanged() -> None:
    seen = view(leases=ALL)
    first = started(seen)
    failed = replace(seen, failed_plans=frozenset({shape(first)}))
    second = started(failed)
    assert shape(second) != shape(first)
    assert not set(second.workers) & set(first.workers)
    both = replace(seen, failed_plans=frozenset({shape(first), shape(second)}))
    assert shape(started(both)) in both.failed_plans, "where no other can be, it is"


def test_a_move_does_not_go_where_loads_failed() -> None:
    fast = replace(worker(2), layer_seconds=0.0001)
    seen = view(leader(), member(1), member(2, devices=(fast,)), running=running(), leases=ALL)
    better = ReconcilerMemory(ready_since=-1000.0, better_since=-100.0, quiet_since=-100.0)
    assert Stop in kinds(decide(0, seen, better))
    plan = place(SHAPE, [host(60 * MIB), worker(1), fast], EngineSettings(512))
    for failed in (
        replace(seen, left_out={fast.key: LEFT_OUT}),
        replace(seen, failed_plans=frozenset({shape(plan)})),
    ):
        assert Stop not in kinds(decide(0, failed, better))


@pytest.mark.parametrize("runs", [False, True])
def test_the_lease_of_a_member_that_is_to_be_judged_is_kept(runs: bool) -> None:
    unsure = view(
        leader(),
        member(1),
        member(2, reachable=False),
        leases=ALL,
        doubted=frozenset({W2}),
        running=running() if runs else None,
    )
    decision = decide(0, unsure, ReconcilerMemory())
    assert only(decision, WantLeases).workers == ALL
    assert ReleaseLeases not in kinds(decision)

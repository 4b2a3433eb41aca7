"""What the leader remembers of loads and runs."""

from typing import Any

import pytest

from leader.blame.breaks import JUDGED_AFTER, Standing
from leader.blame.good_service import PROOF
from leader.blame.ledger import EARLY, Ledger
from leader.blame.quarantines import FORGIVEN, Exclusion
from leader.blame.shapes import shape
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from tests.leader.shapes import MIB, host, model_info, worker

PLAN = place(model_info(12), [host(70 * MIB), worker(1, 90 * MIB), worker(2, 90 * MIB)], EngineSettings(512))
W1, W2 = worker(1).key, worker(2).key
NEVER = float("-inf")
CLOSED = "the worker closed the tunnel"


def standing(answered_at: float, doubted_at: float = NEVER) -> dict[bytes, Standing]:
    return {key[0]: Standing(True, answered_at, doubted_at) for key in (W1, W2)}


def loading() -> Ledger:
    assert {stage.device.key for stage in PLAN.stages} >= {W1, W2}
    ledger = Ledger()
    ledger.began(PLAN)
    return ledger


def ready(since: float) -> Ledger:
    ledger = loading()
    ledger.is_ready(since)
    return ledger


def test_a_load_that_a_worker_ended_leaves_its_devices_out() -> None:
    ledger = loading()
    ledger.broke(10.0, W1[0], CLOSED)
    ledger.failed(10.0, "lost w1")
    assert ledger.doubted == {W1[0]}
    assert ledger.left_out(10.0) == {}
    [judged] = ledger.judge(10.0 + JUDGED_AFTER, standing(10.1), NEVER)
    assert judged.guilty
    assert ledger.left_out(20.0) == {W1: Exclusion(54.0, CLOSED, 1)}
    assert ledger.failed_plans(20.0) == frozenset(), "without the worker it is another plan"
    assert ledger.doubted == frozenset()


def test_only_the_devices_behind_the_tunnel_are_left_out() -> None:
    ledger = loading()
    ledger.broke(10.0, W1[0], CLOSED, ["another"])
    assert ledger.judge(99.0, standing(11.0), NEVER) == []
    ledger.broke(10.0, W1[0], CLOSED, [W1[1]])
    assert len(ledger.judge(99.0, standing(11.0), NEVER)) == 1


@pytest.mark.parametrize(("after", "blamed"), [(1.0, True), (EARLY, True), (EARLY + 1, False)])
def test_a_death_within_minutes_of_ready_is_the_workers_fault_and_later_not(
    after: float, blamed: bool
) -> None:
    ledger = ready(1000.0)
    ledger.broke(1000.0 + after, W1[0], CLOSED)
    ledger.failed(1000.0 + after, "lost w1")
    now = 1000.0 + after + JUDGED_AFTER
    assert bool(ledger.judge(now, standing(now), NEVER)) == blamed
    assert set(ledger.left_out(now)) == ({W1} if blamed else set())


def test_a_load_that_failed_without_a_workers_fault_leaves_that_plan_out() -> None:
    ledger = loading()
    ledger.failed(10.0, "llama-server ended with SIGABRT")
    ledger.failed(11.0, "seen once more")
    assert ledger.failed_plans(10.0 + 59) == {shape(PLAN)}
    assert ledger.failed_plans(10.0 + 61) == frozenset()


def test_a_load_that_a_network_ended_leaves_that_plan_out_and_nobody_else() -> None:
    ledger = loading()
    ledger.broke(10.0, W1[0], "the worker fell silent", cut=True)
    ledger.failed(10.0, "lost w1")
    [judged] = ledger.judge(20.0, standing(10.1), NEVER)
    assert not judged.guilty
    assert ledger.left_out(20.0) == {}
    assert ledger.failed_plans(20.0) == {shape(PLAN)}


def test_what_was_ready_and_then_failed_says_nothing_against_the_plan() -> None:
    ledger = ready(10.0)
    ledger.failed(20.0, "it crashed over a request")
    assert ledger.failed_plans(20.0) == frozenset()


@pytest.mark.parametrize("how", ["ended", "lost_leadership"])
def test_what_breaks_when_nothing_runs_any_more_blames_nobody(how: str) -> None:
    ledger = loading()
    getattr(ledger, how)()
    ledger.broke(10.0, W1[0], CLOSED)
    assert ledger.judge(99.0, standing(11.0), NEVER) == []


def test_a_leader_that_leads_no_more_judges_nothing_that_it_saw() -> None:
    ledger = loading()
    ledger.broke(10.0, W1[0], CLOSED)
    ledger.lost_leadership()
    assert ledger.judge(99.0, standing(11.0), NEVER) == []


def test_a_workers_last_words_are_the_reason_and_judge_it_at_once() -> None:
    ledger = loading()
    ledger.broke(10.0, W1[0], CLOSED)
    ledger.heard(W1[0], "ended with SIGABRT: op not supported")
    assert ledger.judge(10.0, {}, NEVER)[0].guilty
    assert ledger.left_out(10.0)[W1].reason == "ended with SIGABRT: op not supported"


def test_last_words_that_come_late_replace_the_reason() -> None:
    ledger = loading()
    ledger.broke(10.0, W1[0], CLOSED)
    ledger.judge(20.0, standing(11.0), NEVER)
    ledger.heard(W1[0], "ended with SIGKILL")
    assert ledger.left_out(20.0)[W1].reason == "ended with SIGKILL"


def test_last_words_are_of_the_rpc_server_that_said_them() -> None:
    ledger = Ledger()
    ledger.adopt(0.0, (W1[0], "CUDA0"), 60.0, "it aborted")
    ledger.adopt(0.0, (W1[0], "CPU"), 60.0, "it aborted")
    ledger.heard(W1[0], "ended with SIGKILL", ["CPU"])
    assert ledger.left_out(1.0)[W1[0], "CUDA0"].reason == "it aborted"
    assert ledger.left_out(1.0)[W1[0], "CPU"].reason == "ended with SIGKILL"


def test_a_worker_that_served_for_an_hour_is_forgiven() -> None:
    ledger = loading()
    ledger.adopt(0.0, W1, 60.0, "it aborted")
    for second in range(int(FORGIVEN) + 2):
        ledger.is_ready(100.0 + second)
    ledger.began(PLAN)
    ledger.broke(9000.0, W1[0], CLOSED)
    ledger.judge(9010.0, standing(9001.0), NEVER)
    assert ledger.left_out(9010.0)[W1].seconds == 60.0, "not the second, which is twice as long"


def test_a_member_that_failed_is_on_probation_again() -> None:
    ledger = loading()
    ledger.service.see(0.0, "plan", [W1[0]])
    ledger.service.see(PROOF, "plan", [W1[0]])
    assert ledger.service.has_served(W1[0])
    ledger.broke(40.0, W1[0], CLOSED)
    ledger.judge(50.0, standing(41.0), NEVER)
    assert not ledger.service.has_served(W1[0])


def test_the_lengths_of_quarantines_can_be_chosen() -> None:
    ledger = Ledger(5.0, 8.0)
    lengths: list[Any] = []
    for now in (0.0, 100.0, 200.0):
        ledger.began(PLAN)
        ledger.broke(now, W1[0], CLOSED)
        ledger.judge(now + 5.0, standing(now + 1), NEVER)
        lengths.append(ledger.left_out(now + 5.0)[W1].seconds)
    assert lengths == [5.0, 8.0, 8.0]

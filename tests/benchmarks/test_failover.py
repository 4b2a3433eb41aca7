"""What the benchmark makes of what it sees."""

import pytest

from tests.benchmarks.failover import Kill, Look, look, phases, report, split_of

BEFORE = Look(9.9, "anna", 1, "ready", True)


def test_phases_add_up_to_the_pause() -> None:
    looks = [
        BEFORE,
        Look(10.1, "anna", 1, "ready", True),
        Look(10.5, "", 0, "waiting", False),
        Look(10.75, "bert", 2, "waiting", False),
        Look(11.0, "bert", 2, "loading", True),
        Look(12.0, "bert", 2, "ready", True),
    ]
    assert phases(looks, 10.0, 12.5) == (0.5, 0.25, 0.25, 1.0, 0.5)


def test_phases_that_were_too_short_to_be_seen_took_no_time() -> None:
    looks = [BEFORE, Look(10.5, "bert", 2, "ready", True)]
    assert phases(looks, 10.0, 11.0) == (0.5, 0.0, 0.0, 0.0, 0.5)


def test_where_nothing_was_seen_all_is_detection() -> None:
    assert phases([BEFORE], 10.0, 11.0) == (1.0, 0.0, 0.0, 0.0, 0.0)


def test_an_engine_that_died_needs_no_election() -> None:
    looks = [BEFORE, Look(10.5, "anna", 1, "moving", False), Look(11.0, "anna", 1, "moving", True)]
    assert phases(looks, 10.0, 12.0) == (0.5, 0.0, 0.5, 1.0, 0.0)


def test_a_look_reads_a_status_without_leader_and_one_with_all() -> None:
    nothing = {"leader": None, "deployment": None, "plan": None}
    assert look(1.0, nothing) == Look(1.0, "", 0, "", False)
    status = {"leader": {"name": "anna", "term": 3}, "deployment": {"state": "ready"}, "plan": {}}
    assert look(2.0, status) == Look(2.0, "anna", 3, "ready", True)


def test_a_bare_split_is_that_of_the_plan() -> None:
    stages = [{"layers": [5, 8], "head": False}, {"layers": [9, 11], "head": False}]
    split = " ".join(split_of(stages, [1001, 1002]))
    assert "--rpc 127.0.0.1:1001,127.0.0.1:1002 --device RPC0,RPC1 -ngl 8 -ts 4,4" in split
    assert r"-ot ^output\.weight$=CPU" in split


@pytest.mark.parametrize(
    ("pause", "lost", "met"), [(3.5, False, True), (9.0, False, False), (3.5, True, False)]
)
def test_a_kill_that_takes_too_long_or_loses_something_misses_a_goal(
    pause: float, lost: bool, met: bool
) -> None:
    kill = Kill("llama-server", 20, 0.5, 0.0, 0.5, 2.0, pause - 3.0, pause, 1.0, lost)
    assert all(goal.met for goal in report(1, 0, [kill]).goals) is met


def test_no_kill_at_all_meets_no_goal() -> None:
    assert not any(goal.met for goal in report(1, 0, []).goals)

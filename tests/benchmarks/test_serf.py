import argparse

import pytest

from tests.benchmarks import serf
from tests.benchmarks.__main__ import main
from tests.benchmarks.idle import Idle
from tests.benchmarks.mesh_system import MeshSystem
from tests.benchmarks.observe import Observation
from tests.benchmarks.serf import Outcome
from tests.benchmarks.systems import System, Unavailable
from tests.benchmarks.trial import Trial

QUIET = Idle(700.0, 500.0, 5.0, 0.5, 60.0)


def outcome(*times: tuple[float, float], quiet: Idle = QUIET) -> Outcome:
    """Trials of this project's agents that took so long to (join, notice)."""
    trials = [Trial(Observation(a, a / 2, 0.1), Observation(b, b / 2, 0.05), [quiet], 0) for a, b in times]
    return Outcome(MeshSystem(), trials)


def goals(of: Outcome, nodes: int = 16) -> dict[str, bool]:
    return {goal.what: goal.met for goal in serf.report({"nodes": nodes}, [of], {}).goals}


def test_every_figure_within_its_goal_meets_it() -> None:
    met = goals(outcome((1, 0.7), (3, 0.8), (2, 2)))
    assert len(met) == 8
    assert all(met.values())


def test_each_goal_is_missed_by_its_own_figure() -> None:
    def missed(of: Outcome) -> set[str]:
        return {what for what, met in goals(of).items() if not met}

    assert missed(outcome((3.1, 0.7))) == {"join, p99"}
    assert missed(outcome((1, 1.1))) == {"killed process known everywhere, median"}
    assert missed(outcome((1, 0.5), (1, 0.5), (1, 2.1))) == {"killed process known everywhere, p99"}
    heavy = outcome((1, 0.7), quiet=Idle(2000.0, 1001.0, 9.0, 1.1, 65.0))
    assert len(missed(heavy)) == 3


def test_a_pool_that_failed_misses_a_goal_and_is_told_of() -> None:
    failed = outcome((1, 0.7))
    failed.failures.append("trial 2: not within 90 s at bert")
    report = serf.report({"nodes": 16}, [failed], {})
    assert [goal.what for goal in report.goals if not goal.met] == ["pools that failed to form or to notice"]
    assert report.results["mesh"]["failures"] == ["trial 2: not within 90 s at bert"]
    assert "mesh: trial 2: not within 90 s at bert" in report.notes


def test_a_living_member_held_dead_misses_a_goal() -> None:
    trial = Trial(Observation(1, 0.5, 0.1), Observation(0.7, 0.5, 0.1), [QUIET], wrongly=1)
    met = goals(Outcome(MeshSystem(), [trial]))
    assert [what for what, reached in met.items() if not reached] == ["living agents held dead"]


def test_goals_for_small_pools_are_not_asked_of_large_ones() -> None:
    assert len(goals(outcome((9, 9)), nodes=17)) == 6
    assert len(goals(outcome((9, 9)), nodes=101)) == 2


def test_without_counters_there_is_no_goal_for_bytes() -> None:
    met = goals(outcome((1, 0.7), quiet=Idle(None, None, None, 0.5, 60.0)))
    assert not any("payload" in what for what in met)
    assert all(met.values())


def test_results_name_systems_samples_and_what_was_left_out() -> None:
    report = serf.report({"nodes": 16}, [outcome((1, 0.7), (2, 0.9))], {"serf": "not installed"})
    assert report.results["skipped"] == {"serf": "not installed"}
    assert report.results["mesh"]["join_seconds"] == {"median": 1.5, "p99": 2, "maximum": 2, "count": 2}
    assert report.results["mesh"]["samples"]["detection_seconds"] == [0.7, 0.9]
    assert report.rows[0].cells["mesh"].median == 1.5


def missing(install: bool) -> System:
    raise Unavailable("serf is not installed")


async def run_nothing(*_: object) -> list[Outcome]:
    return [outcome((1, 0.7))]


def test_a_system_that_is_missing_is_skipped_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serf, "MAKERS", {"mesh": lambda install: MeshSystem(), "serf": missing})
    monkeypatch.setattr(serf, "_run_all", run_nothing)
    assert main(["serf", "--json", "--check"]) == 0
    assert '"skipped": {"serf": "serf is not installed"}' in capsys.readouterr().out
    assert main(["serf", "--systems", "mesh,serf"]) == 1
    assert "serf is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--nodes", "1"], ["--nodes", "x"], ["--repeats", "0"], ["--poll", "0"], ["--systems", "etcd"]],
)
def test_senseless_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    serf.configure(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
    assert arguments[0] in capsys.readouterr().err

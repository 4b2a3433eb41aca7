import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.benchmarks.report import (
    Goal,
    Report,
    Row,
    Summary,
    at_least,
    at_most,
    deliver,
    nearest_rank,
    show,
)

SUMMARY = Summary(2.0, 3.0, 3.0, 3)
REPORT = Report(
    "walk",
    {"steps": 3},
    {"ours": [1, 2, 3]},
    [at_most("stumbles", 1, 0, "times")],
    [Row("time", "s", {"ours": SUMMARY}), Row("rest", "s", {"theirs": SUMMARY})],
    ["on foot"],
)
MISSED = replace(REPORT, goals=[at_most("stumbles", 1, 2, "times")])


def test_a_summary_has_median_p99_maximum_and_count() -> None:
    assert Summary.of(range(1, 201)) == Summary(100.5, 198, 200, 200)


def test_no_samples_have_no_summary() -> None:
    assert Summary.of([]) is None


def test_p99_of_less_than_100_samples_is_the_maximum() -> None:
    summary = Summary.of(range(99))
    assert summary is not None
    assert summary.p99 == summary.maximum == 98


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.integers(1, 100))
def test_the_nearest_rank_is_the_least_sample_that_so_many_do_not_exceed(
    samples: list[float], percent: int
) -> None:
    ordered = sorted(samples)
    rank = nearest_rank(ordered, percent / 100)
    assert sum(sample <= rank for sample in ordered) * 100 >= percent * len(ordered)
    assert sum(sample < rank for sample in ordered) * 100 < percent * len(ordered)


def test_a_goal_is_met_at_its_very_figure() -> None:
    assert at_most("time", 3, 3, "s").met
    assert at_least("share", 3, 3, "").met
    assert not at_most("time", 3, 3.01, "s").met
    assert not at_least("share", 3, 2.99, "").met


def test_what_was_not_measured_is_a_goal_missed() -> None:
    assert not at_most("time", 3, None, "s").met
    assert not at_least("share", 3, None, "").met


def test_json_is_one_object_with_the_goals(capsys: pytest.CaptureFixture[str]) -> None:
    deliver(REPORT, as_json=True, check=False)
    assert json.loads(capsys.readouterr().out) == {
        "name": "walk",
        "parameters": {"steps": 3},
        "results": {"ours": [1, 2, 3], "notes": ["on foot"]},
        "goals": [{"what": "stumbles", "goal": 1, "measured": 0, "unit": "times", "met": True}],
    }


@pytest.mark.parametrize(
    ("report", "check", "code"), [(REPORT, True, 0), (MISSED, False, 0), (MISSED, True, 1)]
)
def test_a_missed_goal_fails_only_with_check(report: Report, check: bool, code: int) -> None:
    assert deliver(report, as_json=True, check=check) == code


def test_people_get_a_table_the_goals_and_the_notes() -> None:
    goals = [*MISSED.goals, Goal("rests", 1, None, "times", False)]
    text = io.StringIO()
    show(replace(REPORT, goals=goals), Console(file=text, width=120))
    lines = text.getvalue().splitlines()
    assert lines[0] == "walk: steps 3"
    assert any("time" in line and "2 / 3 / 3 (3)" in line and " - " in line for line in lines)
    assert "MISS stumbles: 2 times (goal 1)" in lines
    assert "MISS rests: not measured (goal 1)" in lines
    assert lines[-1] == "- on foot"

"""A measure says whether it met its goal, of how many samples, and never that nothing met one."""

import json

import pytest

from simulations.measures.measurement import Goal, Measurement, as_json, as_text, median_goal, tail_goal
from simulations.measures.percentiles import enough_for


@pytest.mark.parametrize(
    ("measured", "at_least", "met"),
    [(2.0, False, True), (2.1, False, False), (2.0, True, True), (1.9, True, False), (None, True, False)],
)
def test_a_goal_is_met_at_its_very_value_and_never_by_nothing(
    measured: float | None, at_least: bool, met: bool
) -> None:
    assert Goal("x", 2.0, measured, "s", at_least).met is met


def test_a_percentile_that_too_few_samples_have_is_their_largest_and_says_so() -> None:
    few = tail_goal("known", 3.0, [1.0, 2.5])
    assert (few.what, few.measured) == ("known, largest of 2", 2.5)
    enough = enough_for(0.99)
    many = tail_goal("known", 3.0, [1.0] * enough)
    assert (many.what, many.measured) == (f"known, p99 of {enough}", 1.0)


@pytest.mark.parametrize("goal", [tail_goal("known", 3.0, []), median_goal("known", 3.0, [])])
def test_a_goal_without_samples_is_missed(goal: Goal) -> None:
    assert (goal.measured, goal.met) == (None, False)


def test_people_and_scripts_are_told_the_same() -> None:
    goals = [Goal("known", 3.0, 2.5, "s"), Goal("kept", 4.0, 3.5, "rounds", at_least=True)]
    measure = Measurement("crash", {"nodes": 5}, {"median": 0.123456, "each": [1, 2]}, goals)
    assert as_text(measure).splitlines() == [
        "crash: nodes 5",
        "  median                       0.1235",
        "met    known: 2.5 s (goal <= 3)",
        "MISSED kept: 3.5 rounds (goal >= 4)",
    ]
    told = json.loads(as_json(measure))
    assert (told["parameters"], told["results"]) == ({"nodes": 5}, {"median": 0.123456, "each": [1, 2]})
    assert [goal["met"] for goal in told["goals"]] == [True, False]

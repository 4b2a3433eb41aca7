"""The benchmark of hostile requests: what was seen is judged, and what was not seen is missed."""

import argparse

import pytest

from tests.benchmarks.hostile import Harm, _report, _words
from tests.lab.hostile_asker import is_fault, outcome

OPTIONS = argparse.Namespace(first=0)


def harm(**seen: object) -> Harm:
    """What is seen where nobody is harmed, but for what is given."""
    unharmed = {"quiet": [1.0, 1.1], "loud": [1.5, 2.0], "found": [0, 0, None], "sent": 10}
    return Harm(**{**unharmed, **seen})  # type: ignore[arg-type]


def test_nobody_is_harmed() -> None:
    assert all(goal.met for goal in _report(OPTIONS, harm()).goals)


@pytest.mark.parametrize(
    ("seen", "missed"),
    [
        ({"same_engine": False}, "the same llama-server"),
        ({"same_answer": False}, "the same greedy answer"),
        ({"found": [0, 0, 350, 0]}, "tokens of another's prompt"),
        ({"found": [None, None]}, "tokens of another's prompt"),
        ({"faults": [{"number": 5, "status": 500}]}, "requests without an answer"),
        ({"loud": [1.0, 2.3]}, "others' first token"),
    ],
)
def test_each_harm_misses_its_goal(seen: dict[str, object], missed: str) -> None:
    (goal,) = [goal for goal in _report(OPTIONS, harm(**seen)).goals if not goal.met]
    assert goal.what.startswith(missed)


def test_who_hung_up_is_told_apart() -> None:
    left = {"status": None, "left": True}
    cut = {"status": None, "left": False}
    assert (outcome(left), outcome(cut), outcome({"status": 200, "left": True})) == ("left", "none", "200")
    assert [is_fault(told) for told in (left, cut)] == [False, True]
    assert [is_fault({"status": status, "left": False}) for status in (400, 429, 501, 503)] == [False] * 4
    assert [is_fault({"status": status, "left": False}) for status in (500, 502, 504)] == [True] * 3


def test_no_two_prompts_begin_alike() -> None:
    assert len({_words(number).partition("-")[0] for number in range(100)}) == 100

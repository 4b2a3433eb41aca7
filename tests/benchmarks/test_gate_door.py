"""What the door costs, pair by pair."""

import pytest

from tests.benchmarks.gate_door import Answered, DoorMeasured


def answered(*answers: tuple[float, float]) -> Answered:
    """Of answers of two tokens, by when each came."""
    made = Answered()
    for came in answers:
        made.take(came)
    return made


def test_an_answers_tokens_count_from_its_first_one() -> None:
    made = Answered()
    made.take([0.5, 0.6, 0.7])
    assert made.firsts == [500]
    assert made.speeds == pytest.approx([10])
    assert made.undisturbed == pytest.approx(100)


def test_both_goals_are_medians_of_pairs() -> None:
    door = answered((0.25, 0.35), (0.50, 0.60), (0.20, 0.40))
    bare = answered((0.25, 0.35), (0.25, 0.35), (0.20, 0.30))
    speed, first = DoorMeasured(door, bare).goals()
    assert speed.met
    assert (speed.measured, first.measured) == (1.0, 1.0)
    slow = DoorMeasured(answered((0.5, 0.7)), answered((0.25, 0.35)))
    assert [goal.measured for goal in slow.goals()] == [pytest.approx(0.5), 0.5]
    assert not any(goal.met for goal in slow.goals())

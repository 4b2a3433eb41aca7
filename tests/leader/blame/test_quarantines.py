"""For how long those that failed are left out: doubling, bounded, told, adopted and forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.blame.quarantines import (
    FIRST,
    FORGIVEN,
    LONGEST,
    LONGEST_WORDS,
    MAX_REMEMBERED,
    Exclusion,
    Quarantines,
)


def test_each_quarantine_is_twice_as_long_as_the_one_before_up_to_an_hour() -> None:
    held: Quarantines[str] = Quarantines()
    now, lengths = 0.0, []
    for _ in range(8):
        lengths.append(held.blame(now, "w", "it aborted"))
        assert held.left_out(now + lengths[-1] - 1)["w"].seconds == pytest.approx(1)
        now += lengths[-1]
        assert held.left_out(now) == {}
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_what_is_told_is_how_long_how_often_and_why() -> None:
    held: Quarantines[str] = Quarantines()
    held.blame(10.0, "w", "it aborted")
    assert held.left_out(20.0) == {"w": Exclusion(50.0, "it aborted", 1)}
    held.blame(100.0, "w", "it " * LONGEST_WORDS)
    assert held.left_out(100.0)["w"].times == 2
    assert len(held.left_out(100.0)["w"].reason) == LONGEST_WORDS
    held.explain("w", "its memory was used up")
    held.explain("another", "never failed")
    assert held.left_out(100.0) == {"w": Exclusion(120.0, "its memory was used up", 2)}


def test_an_hour_of_good_service_makes_the_next_quarantine_a_first_one() -> None:
    held: Quarantines[str] = Quarantines()
    for _ in range(3):
        held.blame(0.0, "w", "it aborted")
    held.served("w", FORGIVEN - 1)
    held.served("another", FORGIVEN)
    assert held.remembered == ["w"]
    held.served("w", 1)
    assert held.remembered == []
    assert held.blame(9000.0, "w", "it aborted") == FIRST


def test_a_new_failure_takes_back_the_service_before_it() -> None:
    held: Quarantines[str] = Quarantines()
    held.blame(0.0, "w", "it aborted")
    held.served("w", FORGIVEN - 1)
    held.blame(FORGIVEN, "w", "it aborted")
    held.served("w", FORGIVEN - 1)
    assert held.remembered == ["w"]


def test_what_an_earlier_leader_told_is_adopted_and_doubled_from_there() -> None:
    held: Quarantines[str] = Quarantines()
    held.adopt(100.0, "w", 240.0, "it aborted")
    assert held.left_out(100.0) == {"w": Exclusion(240.0, "it aborted", 1)}
    held.adopt(100.0, "w", 10.0, "less")
    assert held.left_out(100.0)["w"].seconds == 240.0, "what is held is not shortened by another's word"
    assert held.blame(400.0, "w", "again") == 480.0


@given(st.floats(allow_nan=False))
def test_no_word_of_another_leader_leaves_a_device_out_for_more_than_the_longest(seconds: float) -> None:
    held: Quarantines[str] = Quarantines()
    held.adopt(0.0, "w", seconds, "a lie")
    assert all(0 < one.seconds <= LONGEST for one in held.left_out(0.0).values())


@pytest.mark.parametrize("adopted", [False, True])
def test_of_too_many_the_one_is_forgotten_that_failed_the_longest_ago(adopted: bool) -> None:
    held: Quarantines[int] = Quarantines()
    for number in range(MAX_REMEMBERED + 1):
        if adopted:
            held.adopt(number, number, 60.0, "it aborted")
        else:
            held.blame(number, number, "it aborted")
    assert held.remembered == list(range(1, MAX_REMEMBERED + 1))

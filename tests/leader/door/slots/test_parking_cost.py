"""When a slot is worth a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.slots.parking_cost import LEAST_TOKENS, MOST_SECONDS, ParkingCost


def learned(bytes_per_token: int, bytes_per_second: float, tokens_per_second: float) -> ParkingCost:
    cost = ParkingCost()
    for _ in range(50):
        cost.saw_file(1000, 1000 * bytes_per_token, 1000 * bytes_per_token / bytes_per_second)
        cost.saw_prefill(1000, 1000 / tokens_per_second)
    return cost


def test_a_slow_prefill_makes_a_file_worth_it() -> None:
    assert learned(64 << 10, 1e9, 300).is_worth(1000, 1000)


def test_a_slow_disk_makes_it_not() -> None:
    assert not learned(64 << 10, 10e6, 300).is_worth(1000, 1000)


def test_a_few_new_tokens_are_not_worth_saving_all_again() -> None:
    cost = learned(64 << 10, 1e9, 300)
    assert cost.is_worth(10_000, 1000)
    assert not cost.is_worth(10_000, 100)


def test_a_short_conversation_is_not_worth_a_file() -> None:
    cost = learned(1000, 1e9, 300)
    assert cost.is_worth(LEAST_TOKENS, LEAST_TOKENS)
    assert not cost.is_worth(LEAST_TOKENS - 1, LEAST_TOKENS - 1)


def test_nothing_is_worth_making_everybody_wait_for_long() -> None:
    cost = learned(1 << 20, 100e6, 1)
    tokens = int(MOST_SECONDS * 100e6 / (1 << 20))
    assert cost.is_worth(tokens // 2, tokens // 2)
    assert not cost.is_worth(tokens * 2, tokens * 2)


def test_files_of_which_nothing_can_be_used_are_worth_nothing() -> None:
    cost = learned(1000, 1e9, 300)
    for used in (0, 0, 900, 0, 0):
        cost.saw_use(used)
    assert cost.is_worth(1000, 1000)
    cost.saw_use(0)
    assert not cost.is_worth(1000, 1000)


def test_what_was_measured_counts_more_and_more() -> None:
    cost = learned(1000, 1e6, 100)
    assert cost.prefill_seconds(100) == pytest.approx(1, rel=0.01)
    assert cost.load_seconds(1000) == pytest.approx(1.005, rel=0.01)


@given(st.integers(-5, 15), st.floats(0, 1))
def test_steps_of_a_few_tokens_say_nothing_of_prefill(tokens: int, seconds: float) -> None:
    cost = ParkingCost()
    cost.saw_prefill(tokens, seconds)
    assert cost.prefill_seconds(1) == ParkingCost().prefill_seconds(1)


def test_an_empty_file_says_nothing() -> None:
    cost = ParkingCost()
    cost.saw_file(0, 100, 1.0)
    cost.saw_file(100, 0, 1.0)
    assert cost.load_seconds(1) == ParkingCost().load_seconds(1)

"""The rank and the integer that stands for it say the same."""

from hypothesis import example, given
from hypothesis import strategies as st

from mesh.wire.codec import MAX_UINT
from mesh.wire.rank import Rank, is_notable

numbers = st.integers(0, MAX_UINT) | st.builds(
    lambda power, near: max(0, 2**power + near), st.integers(0, 62), st.integers(-2, 2)
)


def test_the_weights_of_the_wire_are_fixed() -> None:
    assert Rank().to_wire() == 0
    assert Rank(memory=5).to_wire() == 5
    assert Rank(holds_model=1, memory=5).to_wire() == 2**40 + 5
    assert Rank(serves=1, memory=5).to_wire() == 2**60 + 5
    assert Rank(1, 1, 5).to_wire() == 2**60 + 2**40 + 5


@given(numbers)
@example(2**60 - 1)
@example(2**40 - 1)
@example(MAX_UINT)
def test_any_integer_of_the_wire_has_a_rank_that_leads_back_to_it(number: int) -> None:
    assert Rank.from_wire(number).to_wire() == number


@given(numbers, numbers)
def test_ranks_compare_as_their_integers(one: int, other: int) -> None:
    assert (Rank.from_wire(one) < Rank.from_wire(other)) == (one < other)
    assert (Rank.from_wire(one) == Rank.from_wire(other)) == (one == other)


@given(numbers, numbers)
@example(0, 0)
@example(11, 10)
@example(110, 100)
@example(109, 100)
def test_better_takes_a_tenth_more_and_is_never_the_same(one: int, other: int) -> None:
    better = Rank.from_wire(one).is_better(Rank.from_wire(other), 1.1)
    assert better == (one >= 1.1 * other and one > other)


def test_holding_the_model_beats_any_memory_and_serving_beats_both() -> None:
    rich, holder, server = Rank(memory=2**40 - 1), Rank(holds_model=1), Rank(serves=1)
    assert server.is_better(Rank(holds_model=1, memory=2**40 - 1), 1.1)
    assert holder > rich
    assert not holder.is_better(rich, 1.1)


def test_more_than_a_tenth_is_notable_either_way() -> None:
    assert [is_notable(100, new) for new in (89, 90, 100, 110, 111)] == [True, False, False, False, True]
    assert is_notable(0, 1)
    assert not is_notable(0, 0)

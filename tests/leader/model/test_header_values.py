"""Numbers of a header in all their forms: what is no number gives the default, and nothing is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.header_values import MAX_NUMBER, Value, number

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), 1 << 64),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-(1 << 63), 1 << 64), max_size=6).map(tuple),
)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (7, 7),
        (0, 0),
        (True, 1),
        (8.0, 8),
        ((3, 9, 4), 9),
        ((-1, 4), 4),
        (MAX_NUMBER + 1, MAX_NUMBER),
        (-1, 5),
        (8.5, 5),
        (float("nan"), 5),
        (float("inf"), 5),
        ("8", 5),
        ((), 5),
        ((-1, -2), 5),
        (None, 5),
    ],
)
def test_a_number_is_read_in_every_form_and_else_is_the_default(value: Value, read: int) -> None:
    assert number({"key": value}, "key", 5) == read


def test_a_missing_key_is_the_default() -> None:
    assert number({}, "key", 5) == 5


@given(value=VALUES)
def test_no_value_is_refused_and_none_exceeds_the_bound(value: Value) -> None:
    assert 0 <= number({"key": value}, "key", 5) <= MAX_NUMBER

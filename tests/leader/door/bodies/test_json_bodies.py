import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.bodies.json_bodies import MOST_KEYS, checked, read_object, written
from leader.door.orders import Unacceptable

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    # No halves of surrogate pairs.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"5",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":"\xff"}',
        b'{"a":1',
        b'{"a":1}x',
        '{"a":1}'.encode("utf-16"),
        b'\xef\xbb\xbf{"a":1}',
    ],
)
def test_what_is_no_object_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(Unacceptable, match="body"):
        read_object(content)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(Unacceptable):
        assert isinstance(read_object(content), dict)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), VALUES, max_size=5))
def test_an_object_comes_through_as_it_was(value: dict[str, object]) -> None:
    assert read_object(written(value)) == value


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"a": float("inf")}, [float("nan")]])
def test_what_no_reader_takes_is_not_written(value: object) -> None:
    with pytest.raises(Unacceptable):
        written(value, "field")


def test_the_last_of_two_keys_counts_and_is_alone() -> None:
    assert written(read_object(b'{"a":1,"a":2}')) == b'{"a":2}'


def deep(levels: int) -> object:
    return json.loads("[" * levels + "]" * levels)


def test_values_are_counted_to_their_bounds() -> None:
    assert checked({"a": [1, 2, {"b": None}]}, "f") == 6
    assert checked(deep(64), "f") == 64
    for value in (deep(65), list(range(100_001)), {str(n): n for n in range(MOST_KEYS + 1)}, [2**64]):
        with pytest.raises(Unacceptable):
            checked(value, "f")
    with pytest.raises(Unacceptable):
        checked({"x" * 257: 1}, "f")

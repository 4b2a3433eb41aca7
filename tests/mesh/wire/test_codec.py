import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec
from mesh.wire.errors import DecodeError

VALUES = st.recursive(
    st.integers(0, codec.MAX_UINT) | st.binary(max_size=20) | st.text(max_size=20) | st.booleans(),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=5))
def test_what_is_packed_comes_back(value: list[object]) -> None:
    assert codec.unpack(codec.pack(value), 10_000) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_the_one_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        codec.unpack(data, 200)


def test_another_spelling_of_the_same_value_is_refused() -> None:
    assert codec.unpack(codec.pack([1]), 10) == [1]
    with pytest.raises(DecodeError):
        codec.unpack(b"\x91\xcc\x01", 10)


def test_more_bytes_than_the_limit_are_refused_unread() -> None:
    with pytest.raises(DecodeError, match="More than 4 bytes"):
        codec.unpack(codec.pack([bytes(10)]), 4)


def test_an_array_that_promises_a_billion_items_is_refused_at_once() -> None:
    with pytest.raises(DecodeError):
        codec.unpack(b"\xdd\x3b\x9a\xca\x00", 1000)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(DecodeError):
        codec.unpack(b"\x91" * 5000 + b"\x01", 10_000)


@pytest.mark.parametrize(
    ("shape", "bad"),
    [
        (codec.UINT, -1),
        (codec.UINT, True),
        (codec.UINT, 2**63),
        (codec.FLOAT, float("nan")),
        (codec.FLOAT, 1),
        (codec.BOOL, 1),
        (codec.fixed(2), b"abc"),
        (codec.blob(2), b"abc"),
        (codec.text(2), "abc"),
        (codec.text(2), b"ab"),
        (codec.listed(codec.UINT, 1), [1, 2]),
        (codec.paired(codec.UINT, codec.UINT), [1]),
        (codec.ENDPOINT, ["example.org", 1]),
        (codec.ENDPOINT, ["1.2.3.4", 0]),
        (codec.ENDPOINT, "1.2.3.4"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(shape: codec.Shape, bad: object) -> None:
    with pytest.raises(DecodeError):
        shape.load(bad)


def test_maps_and_extensions_have_no_place_on_the_wire() -> None:
    for data in (msgpack.packb([{1: 2}]), msgpack.packb([msgpack.ExtType(1, b"ext")])):
        with pytest.raises(DecodeError):
            codec.unpack(data, 100)

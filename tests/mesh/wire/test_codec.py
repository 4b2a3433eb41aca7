import contextlib
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

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


def test_an_array_that_announces_a_billion_items_is_refused_at_once() -> None:
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
        (codec.COUNT, 2**62),
        (codec.COUNT, -1),
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
def test_a_value_out_of_its_bounds_is_refused(shape: codec.Codec, bad: object) -> None:
    with pytest.raises(DecodeError):
        shape.load(bad)


def test_maps_and_extensions_have_no_place_on_the_wire() -> None:
    for data in (msgpack.packb([{1: 2}]), msgpack.packb([msgpack.ExtType(1, b"ext")])):
        with pytest.raises(DecodeError):
            codec.unpack(data, 100)


@pytest.mark.parametrize("head", [b"\xdc\x1f\xa0", b"\xdd\x00\x00\x1f\xa0"], ids=["16 bit", "32 bit"])
def test_arrays_that_only_announce_their_items_cost_no_room(head: bytes) -> None:
    hollow = head * (8190 // len(head))
    decoders: list[Callable[[], object]] = [
        lambda: codec.unpack(hollow, 8192),
        lambda: codec.unpack_loose(hollow),
    ]
    for decode in decoders:
        tracemalloc.start()
        try:
            with pytest.raises(DecodeError):
                decode()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20


def test_many_long_arrays_that_are_all_there_are_read() -> None:
    value = [[0] * 16] * 40
    assert codec.unpack(codec.pack(value), 1000) == value


@pytest.mark.parametrize("item", [b"\x91", b"\x81\xa1k"], ids=["lists", "maps"])
def test_what_has_no_shape_is_nested_so_deep_and_no_deeper(item: bytes) -> None:
    codec.unpack_loose(item * codec.MAX_DEPTH + b"\x01")
    with pytest.raises(DecodeError):
        codec.unpack_loose(item * (codec.MAX_DEPTH + 1) + b"\x90")


@given(st.binary(max_size=200))
def test_any_bytes_are_some_value_or_refused_with_the_one_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        repr(codec.unpack_loose(data))


class _Pair(NamedTuple):
    left: int
    right: int


def test_a_shape_has_no_more_items_than_its_class_has_fields() -> None:
    shape = codec.struct(_Pair, codec.UINT, codec.UINT)
    assert shape.load(list(shape.dump(_Pair(1, 2)))) == _Pair(1, 2)
    with pytest.raises(TypeError, match="2 fields, its shape 3"):
        codec.struct(_Pair, codec.UINT, codec.UINT, codec.UINT)

import contextlib
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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


# --- arrays that grow


@dataclass(frozen=True)
class _Older:
    name: str
    size: int = 0
    unknown: bytes = b""


@dataclass(frozen=True)
class _Newer:
    name: str
    size: int = 0
    word: str = ""
    many: tuple[int, ...] = ()
    unknown: bytes = b""


@dataclass(frozen=True)
class _Careless:
    name: str
    size: int = 0


@dataclass(frozen=True)
class _Bare:
    name: int
    size: int


OLDER = codec.growing(_Older, codec.text(9), later=(codec.UINT,))
NEWER = codec.growing(_Newer, codec.text(9), later=(codec.UINT, codec.text(9), codec.listed(codec.UINT, 2)))
CARELESS = codec.growing(_Careless, codec.text(9), later=(codec.UINT,))
NEWEST = st.builds(
    _Newer,
    st.just("name"),
    st.integers(0, 2),
    st.sampled_from(["", "word"]),
    st.sampled_from([(), (1,), (1, 2)]),
    st.sampled_from([b"", codec.pack([5]), codec.pack(["", [], [[1]]])]),
)


def written(shape: codec.Codec, value: object) -> bytes:
    return codec.pack(shape.dump(value))


def read(shape: codec.Codec, data: bytes) -> Any:
    return shape.load(codec.unpack(data, len(data)))


@given(NEWEST)
def test_what_one_writes_another_of_an_older_version_writes_again(value: _Newer) -> None:
    data = written(NEWER, value)
    assert read(NEWER, data) == value
    older = read(OLDER, data)
    assert (older.name, older.size) == (value.name, value.size)
    assert written(OLDER, older) == data
    careless = read(CARELESS, data)
    assert (careless.name, careless.size) == (value.name, value.size)


@given(NEWEST, NEWEST)
def test_values_that_differ_are_written_differently(one: _Newer, other: _Newer) -> None:
    assert (written(NEWER, one) == written(NEWER, other)) is (one == other)


def test_a_value_without_new_content_is_written_as_it_always_was() -> None:
    assert written(NEWER, _Newer("name")) == written(codec.struct(_Older, codec.text(9)), _Older("name"))
    assert list(NEWER.dump(_Newer("name", 0, "word"))) == ["name", 0, "word"]
    assert list(NEWER.dump(_Newer("name", 1))) == ["name", 1]
    assert list(NEWER.dump(_Newer("name", unknown=codec.pack([None])))) == ["name", 0, "", (), None]


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (["name", 0], _Newer("name")),
        (["name", 1, "too long for it", [1]], _Newer("name", 1)),
        (["name", -1, "word", [1], 5], _Newer("name")),
        (["name", 1, "word", [1, 2, 3], 5], _Newer("name", 1, "word")),
        (["name", 1, "word", None], _Newer("name", 1, "word")),
    ],
)
def test_a_reader_goes_on_as_far_as_it_knows_fields_and_bounds(array: list[object], value: _Newer) -> None:
    assert read(NEWER, codec.pack(array)) == value


@pytest.mark.parametrize("array", [[], ["too long for it"], [5, 1], "name", None])
def test_first_fields_out_of_their_bounds_are_refused(array: object) -> None:
    for shape in (OLDER, NEWER, CARELESS):
        with pytest.raises(DecodeError):
            shape.load(array)


@given(st.lists(VALUES, max_size=6))
def test_any_array_is_read_by_all_versions_or_by_none(array: list[object]) -> None:
    reads = []
    for shape in (OLDER, NEWER, CARELESS):
        try:
            shape.load(array)
            reads.append(True)
        except DecodeError:
            reads.append(False)
    assert len(set(reads)) == 1


def test_a_tail_as_deep_and_as_long_as_it_may_be_costs_little() -> None:
    deep = codec.pack(["name", 0, "", []])[1:]
    for tail in (b"\x91" * 400 + b"\x90", b"\xdc\x1f\x00" + b"\x90" * 0x1F00):
        data = b"\x95" + deep + tail
        tracemalloc.start()
        try:
            value = read(NEWER, data)
            again = written(NEWER, value)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert again == data
        assert peak < 2 << 20


def test_a_shape_that_grows_has_defaults_for_what_was_added() -> None:
    with pytest.raises(TypeError, match="_Bare has fewer fields"):
        codec.growing(_Bare, codec.UINT, later=(codec.UINT,))
    with pytest.raises(TypeError, match="_Older has fewer fields"):
        codec.growing(_Older, codec.text(9), later=(codec.UINT, codec.UINT))

"""Bounded, canonical msgpack: a shape says what a value may be; anything else is a DecodeError.

Values travel as arrays in the order of their fields. Encoding is canonical: one value, one byte string. What
is decoded is one array in its only spelling; an array that grows may be longer than its reader knows
(:func:`growing`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter, call
from typing import Any, NamedTuple

import msgpack

from mesh.wire.endpoint import Endpoint, is_numeric_host
from mesh.wire.errors import DecodeError

MAX_UINT = 2**63 - 1
MAX_COUNT = MAX_UINT // 2
UNKNOWN = "unknown"
"""The last field of a class that keeps what a later version appended to it, as the packed bytes of a list."""

MAX_DEPTH = 32
"""How deep a value without a shape may be nested: Python's own tools go no deeper than a thousand or so."""

_FEW_ARRAYS = 16
_BYTES = (b"\xc4", b"\xc5", b"\xc6")
"""First bytes of msgpack's binary type, the bulk of all streams: it nests nothing, so no check is needed."""


class Codec(NamedTuple):
    """Turns one value into msgpack's types (``dump``) and back, checked (``load`` raises DecodeError)."""

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]

    @property
    def is_plain(self) -> bool:
        """Whether msgpack takes the value as it is, so that no code needs to walk it."""
        return self.dump is _same


def _same(value: Any) -> Any:
    return value


def _load_uint(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_UINT:
        raise DecodeError("A number is out of its range")
    return value


def _load_count(value: Any) -> int:
    number = _load_uint(value)
    if number > MAX_COUNT:
        raise DecodeError("A count is out of its range")
    return number


def _load_float(value: Any) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise DecodeError("A measure is not a finite number")
    return value


def _load_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise DecodeError("Expected a yes or a no")
    return value


UINT = Codec(_same, _load_uint)
COUNT = Codec(_same, _load_count)
"""A number that its reader adds to: half the range of a UINT, so that the sum is a UINT as well."""

FLOAT = Codec(float, _load_float)
BOOL = Codec(_same, _load_bool)


def fixed(length: int) -> Codec:
    """Exactly ``length`` bytes."""

    def load(value: Any) -> bytes:
        if type(value) is not bytes or len(value) != length:
            raise DecodeError(f"Expected {length} bytes")
        return value

    return Codec(_same, load)


def blob(limit: int) -> Codec:
    """At most ``limit`` bytes."""

    def load(value: Any) -> bytes:
        if type(value) is not bytes or len(value) > limit:
            raise DecodeError(f"Expected at most {limit} bytes")
        return value

    return Codec(_same, load)


def text(limit: int) -> Codec:
    """Text of at most ``limit`` bytes of UTF-8."""

    def load(value: Any) -> str:
        if type(value) is not str or len(value.encode()) > limit:
            raise DecodeError(f"Expected a text of at most {limit} bytes")
        return value

    return Codec(_same, load)


def listed(item: Codec, limit: int) -> Codec:
    """A tuple of at most ``limit`` items."""

    def load(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > limit:
            raise DecodeError(f"Expected a list of at most {limit}")
        return tuple([load_item(each) for each in value])

    load_item, dump_item = item.load, item.dump
    return Codec(_same if item.is_plain else lambda values: [dump_item(each) for each in values], load)


def paired(*items: Codec) -> Codec:
    """A tuple with one item for each shape."""

    def load(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(items):
            raise DecodeError(f"Expected {len(items)} values")
        return tuple(map(call, loads, value))

    loads = [item.load for item in items]
    if all(item.is_plain for item in items):
        return Codec(_same, load)
    return Codec(lambda values: [s.dump(v) for s, v in zip(items, values, strict=True)], load)


def optional(item: Codec) -> Codec:
    """An item or None, as an array of one item or of none."""
    few = listed(item, 1)

    def load(value: Any) -> Any:
        return next(iter(few.load(value)), None)

    return Codec(lambda value: few.dump([] if value is None else [value]), load)


def struct(cls: type[Any], *items: Codec) -> Codec:
    """A dataclass or a named tuple, as the array of its first fields in order; others have defaults."""
    tuples = issubclass(cls, tuple)
    names = _field_names(cls)[: len(items)]
    if len(names) != len(items):
        raise TypeError(f"{cls.__name__} has {len(names)} fields, its shape {len(items)}")

    def load(value: Any) -> Any:
        if type(value) is not list or len(value) != count:
            raise DecodeError(f"Expected {count} values")
        return cls(*map(call, loads, value))

    fields, loads, count = paired(*items), [item.load for item in items], len(items)
    if fields.is_plain and tuples:
        return Codec(_same, load)
    values = _values(names)
    if fields.is_plain:
        return Codec(values, load)
    dump_fields = fields.dump
    return Codec(lambda value: dump_fields(values(value)), load)


def growing(cls: type[Any], *items: Codec, later: Sequence[Codec] = ()) -> Codec:
    """A dataclass whose array may grow: its first fields, then those that were added ``later``, in order.

    Fields added later have defaults, and no default is written at the end of the array: a value without new
    content is the array that it always was. A reader goes on as far as it knows the fields and their bounds;
    the rest is of a later version, and its own fields keep their defaults. What follows all known fields is
    kept as packed bytes in the field ``unknown``, where the class has one, and written again.

    So the first fields alone decide whether a value is read: programs of all versions agree on that.
    """
    required, count = len(items), len(items) + len(later)
    names = _field_names(cls)
    keeps = names[-1] == UNKNOWN
    defaults = [field.default for field in dataclasses.fields(cls)][required:count]
    if len(names) - keeps < count or dataclasses.MISSING in defaults:
        raise TypeError(f"{cls.__name__} has fewer fields than its shape, or one without a default")
    loads, later_loads = [item.load for item in items], [item.load for item in later]

    def load(value: Any) -> Any:
        if type(value) is not list or len(value) < required:
            raise DecodeError(f"Expected at least {required} values")
        first = map(call, loads, value)
        if len(value) == required:
            return cls(*first)
        loaded = [*first, *_load_known(later_loads, value[required:])]
        if keeps and len(value) > count == len(loaded):
            return cls(*loaded, **{UNKNOWN: pack(value[count:])})
        return cls(*loaded)

    def dump(value: Any) -> Any:
        known = fields.dump(values(value))
        tail = unpack(value.unknown, len(value.unknown)) if keeps and value.unknown else []
        if tail:
            return [*known, *tail]
        end = count
        while end > required and getattr(value, names[end - 1]) == defaults[end - 1 - required]:
            end -= 1
        return known if end == count else known[:end]

    fields, values = paired(*items, *later), _values(names[:count])
    return Codec(dump, load)


def _load_known(loads: Sequence[Callable[[Any], Any]], items: Sequence[Any]) -> list[Any]:
    """The items up to the first that does not fit, which a later version wrote under another bound."""
    loaded = []
    with suppress(DecodeError):
        for load, item in zip(loads, items, strict=False):
            loaded.append(load(item))
    return loaded


def _values(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Takes these fields of a value."""
    return attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)


def _field_names(cls: type[Any]) -> tuple[str, ...]:
    of_a_tuple: tuple[str, ...] | None = getattr(cls, "_fields", None)
    return tuple(field.name for field in dataclasses.fields(cls)) if of_a_tuple is None else of_a_tuple


def _load_endpoint(value: Any) -> Endpoint:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not str or type(value[1]) is not int:
        raise DecodeError("Expected an endpoint")
    if not is_numeric_host(value[0]) or not 0 < value[1] < 65536:
        raise DecodeError("An endpoint is out of its range")
    return Endpoint(value[0], value[1])


ENDPOINT = Codec(_same, _load_endpoint)


_PACKER = msgpack.Packer(use_bin_type=True)


def pack(value: Any) -> bytes:
    """Canonical bytes of a value made of lists, bytes, texts and numbers."""
    packed: bytes = _PACKER.pack(value)
    return packed


def unpack(data: bytes, limit: int) -> Any:
    """The value that :func:`pack` made into ``data``.

    Raises DecodeError when ``data`` is longer than ``limit`` bytes or not canonical.
    """
    if len(data) > limit:
        raise DecodeError(f"More than {limit} bytes")
    _refuse_hollow(data)
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_map_len=0,
            max_ext_len=0,
            max_array_len=min(limit, 65536),
        )
        canonical = type(value) is list and pack(value) == data
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as problem:
        raise DecodeError("Not a message of the mesh") from problem
    if not canonical:
        raise DecodeError("Not encoded canonically")
    return value


def unpack_loose(data: bytes) -> Any:
    """Any value of msgpack's types, canonical or not; DecodeError when it is none, or nested too deep."""
    if data[:1] not in _BYTES:
        _refuse_hollow(data)
    try:
        value = msgpack.unpackb(data)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError) as problem:
        raise DecodeError("Not msgpack") from problem
    if _is_deep(value, MAX_DEPTH):
        raise DecodeError(f"Nested deeper than {MAX_DEPTH}")
    return value


def _refuse_hollow(data: bytes) -> None:
    """Raise DecodeError where arrays announce items that are not there.

    msgpack allocates all items of an array before it reads the first. A thousand nested arrays of three bytes
    each would cost hundreds of megabytes. Skipping a value allocates nothing, and succeeds only when all its
    items are there.
    """
    if data.count(b"\xdc") + data.count(b"\xdd") <= _FEW_ARRAYS:
        return
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    try:
        unpacker.skip()
    except (ValueError, msgpack.UnpackException) as problem:
        raise DecodeError("A message that ends too early") from problem


def _is_deep(value: Any, left: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return not left or any(_is_deep(item, left - 1) for item in value if isinstance(item, list | dict))

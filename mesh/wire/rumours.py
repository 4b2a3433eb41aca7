"""The rumour of a fact, and its codec: fast, since nodes read rumours by the hundred thousand."""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh.wire.codec import MAX_UINT, UINT, Codec
from mesh.wire.errors import DecodeError
from mesh.wire.facts import Version

KEY8 = 8
_MARK = 4
_VERSION = 3


class Rumour(NamedTuple):
    """There is a fact under ``key`` (8 bytes) of this version; ``mark`` (4 bytes) names its very bytes."""

    key: bytes
    version: Version
    mark: bytes


def _load(value: Any) -> Rumour:
    """The same as struct(Rumour, fixed(KEY8), listed(UINT, _VERSION), fixed(_MARK)), in less time."""
    if type(value) is list and len(value) == 3:
        key, version, mark = value
        if (
            type(key) is bytes
            and len(key) == KEY8
            and type(mark) is bytes
            and len(mark) == _MARK
            and type(version) is list
            and len(version) <= _VERSION
            and not [number for number in version if type(number) is not int or not 0 <= number <= MAX_UINT]
        ):
            return Rumour(key, tuple(version), mark)
    raise DecodeError("A rumour is malformed")


RUMOUR = Codec(UINT.dump, _load)

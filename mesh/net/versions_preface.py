"""Which wire versions the ends of a stream speak: a preface says it of the opener, its answer of the other.

A node of version 2 compares ``wire`` with its own version and reads nothing else, so ``wire`` is the oldest
version that a node speaks; later nodes read ``speaks``, the oldest and the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.wire.versions import SPOKEN, Versions

_MAX_VERSION = 255


def spoken_here() -> dict[str, Any]:
    """What a preface, or the answer to one, says of this program."""
    return {"wire": SPOKEN.oldest, "speaks": list(SPOKEN)}


def versions_in(said: Mapping[Any, Any]) -> Versions | None:
    """The versions that the other end speaks by its preface or answer; None when it is malformed."""
    speaks = said.get("speaks", [said.get("wire")] * 2)
    if not isinstance(speaks, list) or len(speaks) != 2:
        return None
    if any(type(version) is not int or not 0 <= version <= _MAX_VERSION for version in speaks):
        return None
    oldest, newest = speaks
    return Versions(oldest, newest) if oldest <= newest else None

"""What the ends of a stream say of their programs: the preface of the opener, the answer of the other.

Each says which wire versions it speaks, which build it is, and what its machine is called. A node of version
2 compares ``wire`` with its own version and reads nothing else, so ``wire`` is the oldest version that a node
speaks; later nodes read ``speaks``, the oldest and the newest. An answer of version 2 says nothing of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh.net.session import StreamRefused
from mesh.wire.versions import CLOSED, Versions

MAX_BUILD = 40
"""Bytes of a build's name."""

MAX_NAME = 48
"""Bytes of a machine's name; a longer one is cut, as in records."""

MAX_VERSION = 255
WIRE_VERSION = "wire_version"
"""The code of a refusal between programs without a version in common."""

UPGRADE_THERE = "upgrade that one, then there: mesh restart"


class ProgramVersion(NamedTuple):
    """What a program speaks, its build and its machine's name; one of version 2 tells the first alone."""

    speaks: Versions
    build: str = ""
    name: str = ""

    def answer(self) -> dict[str, Any]:
        """What the answer to a preface says of this program, refusal or not."""
        return {"speaks": list(self.speaks), "build": self.build, "name": self.name}

    def preface(self) -> dict[str, Any]:
        """What a preface says of it."""
        return {"wire": self.speaks.oldest, **self.answer()}

    def __str__(self) -> str:
        """As people read it: ``2 and 3 (mesh 0.5.0+abcd)``."""
        return f"{self.speaks} (mesh {self.build})" if self.build else str(self.speaks)


def program_in_preface(preface: Any) -> ProgramVersion | None:
    """What the opener of a stream says of its program; None when that is malformed."""
    if not isinstance(preface, Mapping):
        return None
    return _program(preface, preface.get("speaks", [preface.get("wire")] * 2))


def program_in_answer(answer: Mapping[Any, Any]) -> ProgramVersion | None:
    """What the end that answers says of its program; None when that is malformed."""
    return _program(answer, answer.get("speaks", list(CLOSED)))


def _program(said: Mapping[Any, Any], speaks: Any) -> ProgramVersion | None:
    if not isinstance(speaks, list) or len(speaks) != 2:
        return None
    if any(type(version) is not int or not 0 <= version <= MAX_VERSION for version in speaks):
        return None
    oldest, newest = speaks
    if oldest > newest:
        return None
    build, name = _shown(said.get("build"), MAX_BUILD), _shown(said.get("name"), MAX_NAME)
    return ProgramVersion(Versions(oldest, newest), build, name)


def _shown(text: object, limit: int) -> str:
    """The text, cut; empty when it is none that can be shown, for only words for people depend on it."""
    if not isinstance(text, str) or not text.isprintable():
        return ""
    return text.encode()[:limit].decode(errors="ignore")


class OtherVersion(StreamRefused):
    """Two programs speak no wire version in common; the message names both, the hint the older one."""

    def __init__(
        self, where: str, theirs: ProgramVersion | None, here: Versions, then: str = "mesh restart"
    ) -> None:
        """``where`` is the other end, as people read it; ``theirs`` is None when it does not say what it is.

        ``then`` is the command by which this machine goes on once it is upgraded.
        """
        if theirs is None or here.common(theirs.speaks) is not None:
            message = f"{where} does not speak the wire version of this machine, which is {here}"
            hint = "upgrade the older of the two"
        else:
            message = f"{where} speaks wire version {theirs}, this machine {here}"
            is_newer = theirs.speaks.newest > here.newest
            hint = f"upgrade this machine, then: {then}" if is_newer else UPGRADE_THERE
        super().__init__(WIRE_VERSION, message, hint)
        self.where, self.theirs = where, theirs
        self._here, self._then = here, then

    def of(self, where: str, more: str) -> OtherVersion:
        """The same, with another name for the other end, and ``more`` to do about it."""
        named = OtherVersion(where, self.theirs, self._here, self._then)
        named.peer = self.peer
        named.hint = f"{named.hint}; {more}"
        return named

"""The programs that simulated hosts run: which wire versions each speaks, and what its facts say.

A pool mixes two neighbouring programs at most, as people are told to upgrade one step at a time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mesh.wire import codec
from mesh.wire.facts import Record
from mesh.wire.profile import MAX_DEVICES, OfferedDevice, Profile
from mesh.wire.signed_facts import Signed
from mesh.wire.versions import CLOSED, GROWING, SPOKEN, Versions

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Program:
    """A build of the program; ``later`` is what it appends to its facts in its newest form, packed."""

    speaks: Versions = SPOKEN
    later: bytes = b""

    def __str__(self) -> str:
        return f"versions {self.speaks}"

    @property
    def is_closed(self) -> bool:
        """Whether it is one of version 2, which reads no fact with fields that it does not know."""
        return self.speaks.newest < GROWING

    def described(self, profile: Profile, devices: int) -> Profile:
        """The profile as this program publishes it: with its build and so many devices, if it knows them."""
        if self.is_closed:
            return dataclasses.replace(profile, build="", devices=())
        offered = profile.memory_offered // max(1, devices)
        return dataclasses.replace(
            profile,
            build=f"0.{self.speaks.newest}.0+simulated",
            devices=tuple(
                OfferedDevice("cuda", f"GPU {number}", 2 * offered, offered, 4e11, 2e13, 1e-4, 1e-7)
                for number in range(min(devices, MAX_DEVICES))
            ),
        )


FORMER = Program(CLOSED)
PRESENT = Program()
NEXT = Program(Versions(SPOKEN.newest, SPOKEN.newest + 1), codec.pack(["a later field", 7]))
MIXES = ((FORMER, PRESENT), (PRESENT, NEXT))
"""The pairs that a pool may mix, the older first."""


def form_of(record: Signed[Record]) -> int:
    """In which version's form a record is signed, by what it says: its build, and a later field."""
    if record.fact.unknown:
        return NEXT.speaks.newest
    return FORMER.speaks.newest if record.is_closed else PRESENT.speaks.newest

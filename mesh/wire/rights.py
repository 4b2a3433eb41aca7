"""The rights that a voucher gives its subject."""

from __future__ import annotations

import enum
from typing import Literal

from mesh.wire.errors import MeshError

Right = Literal["work", "lead", "own"]


class Rights(enum.Flag, boundary=enum.KEEP):
    """``work``: hold layers; ``lead``: be elected; ``own``: vouch for others, evict, and decide what runs.

    Whoever is vouched for may also ask the model, as all could before there was a right to: ``NO_ASK`` takes
    that away. Rights that a later version adds are kept as they came.
    """

    WORK = 1
    LEAD = 2
    OWN = 4
    NO_ASK = 8

    def names(self) -> list[Right]:
        """The names of the rights that are set, in the order work, lead, own."""
        named: dict[Right, Rights] = {"work": Rights.WORK, "lead": Rights.LEAD, "own": Rights.OWN}
        return [name for name, right in named.items() if right in self]

    def joined(self, other: Rights | None) -> Rights:
        """What two vouchers for one member give it together: each right that either of them gives."""
        if other is None:
            return self
        barred = self & other & Rights.NO_ASK
        return Rights((self | other).value & ~Rights.NO_ASK.value) | barred

    def exceeds(self, other: Rights) -> bool:
        """Whether it gives a right that the other does not."""
        asks = Rights.NO_ASK in other and Rights.NO_ASK not in self
        return asks or bool(self.value & ~(other | Rights.NO_ASK).value)

    @classmethod
    def parse(cls, text: str) -> Rights:
        """Read ``work,lead,own`` (any subset, any order); raises MeshError on anything else."""
        rights = cls(0)
        named = {"work": cls.WORK, "lead": cls.LEAD, "own": cls.OWN}
        for name in text.split(","):
            try:
                rights |= named[name.strip().lower()]
            except KeyError:
                raise MeshError(f"There is no right named {name.strip()!r}", "use work, lead, own") from None
        return rights


ALL_RIGHTS = Rights.WORK | Rights.LEAD | Rights.OWN

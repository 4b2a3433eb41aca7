"""The rights that a voucher gives its subject."""

from __future__ import annotations

import enum
from typing import Literal

from mesh.wire.errors import MeshError

Right = Literal["work", "lead", "own"]


class Rights(enum.Flag):
    """``work``: hold layers; ``lead``: be elected; ``own``: vouch for others, evict, and decide what runs."""

    WORK = 1
    LEAD = 2
    OWN = 4

    def names(self) -> list[Right]:
        """The names of the rights that are set, in the order work, lead, own."""
        named: dict[Right, Rights] = {"work": Rights.WORK, "lead": Rights.LEAD, "own": Rights.OWN}
        return [name for name, right in named.items() if right in self]

    @classmethod
    def parse(cls, text: str) -> Rights:
        """Read ``work,lead,own`` (any subset, any order); raises MeshError on anything else."""
        rights = cls(0)
        for name in text.split(","):
            try:
                rights |= cls[name.strip().upper()]
            except KeyError:
                raise MeshError(f"There is no right named {name.strip()!r}", "use work, lead, own") from None
        return rights


ALL_RIGHTS = Rights.WORK | Rights.LEAD | Rights.OWN

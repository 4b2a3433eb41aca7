"""The rights that a voucher gives its subject."""

from __future__ import annotations

import enum
from typing import Literal

from mesh.wire.errors import MeshError

Right = Literal["work", "ask", "lead", "own"]


class Rights(enum.Flag, boundary=enum.KEEP):
    """``work``: hold layers; ``lead``: be elected; ``own``: vouch for others, evict, and decide what runs.

    ``ask``, to ask the model, is on the wire by its opposite: all who were vouched for could ask before there
    was a right to, and ``NO_ASK`` takes that away. Owners may ask in any case: they decide what runs. Rights
    that a later version adds are kept as they came.
    """

    WORK = 1
    LEAD = 2
    OWN = 4
    NO_ASK = 8

    @property
    def may_ask(self) -> bool:
        """Whether a member with these rights may ask the model."""
        return Rights.OWN in self or Rights.NO_ASK not in self

    def names(self) -> list[Right]:
        """The names of a member's rights, in the order work, ask, lead, own."""
        has: dict[Right, bool] = {
            "work": Rights.WORK in self,
            "ask": self.may_ask,
            "lead": Rights.LEAD in self,
            "own": Rights.OWN in self,
        }
        return [name for name, is_there in has.items() if is_there]

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
        """Read ``work,ask,lead,own`` (any subset, any order); raises MeshError on anything else.

        ``own`` implies ``ask``; whoever is given neither may not ask.
        """
        rights, barred = cls(0), cls.NO_ASK
        named = {"work": cls.WORK, "ask": cls(0), "lead": cls.LEAD, "own": cls.OWN}
        for name in (part.strip() for part in text.split(",")):
            try:
                rights |= named[name.lower()]
            except KeyError:
                raise MeshError(f"There is no right named {name!r}", "use work, ask, lead, own") from None
            if name.lower() in ("ask", "own"):
                barred = cls(0)
        return rights | barred


ALL_RIGHTS = Rights.WORK | Rights.LEAD | Rights.OWN

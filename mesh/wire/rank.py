"""How well a member leads, or would lead, and the integer that stands for it on the wire."""

from __future__ import annotations

from typing import NamedTuple

_MEMORY_BITS = 40
_HOLDS_BITS = 20
_NOTABLE = 0.1


class Rank(NamedTuple):
    """Ranks compare as tuples: the first part in which two differ decides.

    ``serves`` and ``holds_model`` are 0 or 1 for every honest member; any integer of the wire has a rank.
    """

    serves: int = 0
    """The leader serves the deployment."""
    holds_model: int = 0
    """The member holds the deployed model's file."""
    memory: int = 0
    """What it offers, in MiB, plus one; below 2^40. A member that would not lead has 0 here and elsewhere."""

    def to_wire(self) -> int:
        """The integer that records and claims carry; integers compare as their ranks do."""
        flags = (self.serves << _HOLDS_BITS) + self.holds_model
        return (flags << _MEMORY_BITS) + self.memory

    @classmethod
    def from_wire(cls, number: int) -> Rank:
        """The rank that any integer of the wire stands for."""
        flags, memory = divmod(number, 1 << _MEMORY_BITS)
        return cls(flags >> _HOLDS_BITS, flags % (1 << _HOLDS_BITS), memory)

    def is_better(self, other: Rank, times: float) -> bool:
        """Whether it is higher, and its integer so many times the other's at least."""
        return self > other and self.to_wire() >= times * other.to_wire()


def is_notable(old: int, new: int) -> bool:
    """Whether a measure (a rank's integer, an amount of memory) changed by more than a tenth.

    A smaller change is not published.
    """
    return abs(new - old) > _NOTABLE * max(1, abs(old))

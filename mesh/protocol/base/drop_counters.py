"""Counts of what a node refused, by reason, with the latest sender of each, for operators.

A refusal costs a count and nothing more: a flood must not make a node write to its log or disk as well.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Generic, TypeVar


class DropReason(StrEnum):
    """Why a Node did not take a datagram or a fact; metrics carry the values as labels."""

    FOREIGN = "foreign"
    """A datagram of another pool."""
    REPLAYED = "replayed"
    FLOOD = "flood"
    STRANGER = "stranger"
    """Its sender is no member."""
    FORGED = "forged"
    MALFORMED = "malformed"
    VERSION = "version"
    """A datagram of a wire version that this program does not speak."""
    FOREIGN_FACT = "foreign_fact"
    FORGED_FACT = "forged_fact"
    MALFORMED_FACT = "malformed_fact"
    UNAUTHORISED_FACT = "unauthorised_fact"
    LEAPING_CLAIM = "leaping_claim"
    """Its term is too far ahead."""
    ACCUSATION = "accusation"
    """A suspicion of this very member; it is taken, and counted all the same."""
    EQUIVOCATION = "equivocation"


Reason = TypeVar("Reason", bound=str)


class DropCounters(Generic[Reason]):
    """Counts by reason. The code names the reasons, and they are few, so both tables are small."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, object] = {}

    def count(self, why: Reason, sender: object) -> None:
        """This node refused something that ``sender`` (an address or an id) sent."""
        self.counts[why] += 1
        self.latest[why] = sender

"""Counts of what a node refused, by reason, with the latest sender of each, for operators.

A refusal costs a count and nothing more: a flood must not make a node write to its log or disk as well.
"""

from __future__ import annotations

from collections import Counter


class DropCounters:
    """Counts by reason. The code names the reasons, and they are few, so both tables are small."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, object] = {}

    def count(self, why: str, sender: object) -> None:
        """This node refused something that ``sender`` (an address or an id) sent."""
        self.counts[why] += 1
        self.latest[why] = sender

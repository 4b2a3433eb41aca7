"""What was refused, and why: numbers for whoever watches, with the latest offender of each kind.

Counting is all that is done on the way: whoever floods a node must not make it write as well.
"""

from __future__ import annotations

from collections import Counter


class DropCounters:
    """Counts by reason; the reasons are few and our own, so both tables are small."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, object] = {}

    def count(self, why: str, whom: object) -> None:
        """Something of ``whom`` (an address, an id) was refused."""
        self.counts[why] += 1
        self.latest[why] = whom

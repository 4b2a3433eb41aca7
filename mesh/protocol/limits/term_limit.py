"""How far a claim may go beyond the highest known term, so that no liar uses up all terms at once."""

from __future__ import annotations

import math
from collections.abc import Set

from mesh.protocol.base.context import Context
from mesh.wire import codec
from mesh.wire.identity import NodeId

_MANY = 8
"""So many sources of a leaping claim suffice whatever the size of the pool."""
_FEWEST = 2
"""Fewer never do: a member that is cut off may hear a single liar alone."""
_STRETCH = 1.0
"""How many seconds the limit takes to rise by one jump towards claims above it."""


class TermLimit:
    """The highest term that one member knows of, and the claims above it that the member takes."""

    def __init__(self, context: Context, present: Set[NodeId]) -> None:
        """``present``: the other members that are alive or suspect; the membership keeps it up to date."""
        self._context = context
        self._present = present
        self.highest = 0
        self.settled_at = math.inf
        """When the election's start-up delay is over: this member has heard most others from then on."""
        self._leapt: set[object] = set()
        """Sources of claims above the limit, at most as many as suffice."""
        self._reach = 0
        """How far the limit has risen towards such claims, ..."""
        self._stretched_at = -math.inf
        """... and when it rose last."""

    def raise_to(self, term: int) -> None:
        """A signed claim of that term came; persist the term before any effect that follows from it."""
        if term > self.highest:
            self.highest = term
            self._context.persist("term", codec.pack([term]))

    def admits(self, term: int, source: object) -> bool:
        """Whether to take a claim of that term from ``source``.

        A claim above the limit is taken if most others handed over such claims. Members hand over what they
        took themselves, so then the pool went ahead, and no liar leaps. Otherwise the limit rises towards the
        claim, too slowly for a liar to use up all terms. So a member that a liar led ahead while it was cut
        off is not refused for ever, and in the end all members hold the same claims.
        """
        return term <= self._limit() or self._may_leap(term, source)

    def _limit(self) -> int:
        return self.highest + self._context.settings.max_term_jump

    def _may_leap(self, term: int, source: object) -> bool:
        self._leapt = {id for id in (*self._leapt, source) if id in self._present}
        enough = max(_FEWEST, min(_MANY, len(self._present) // 2 + 1))
        if self._context.now >= self.settled_at and len(self._leapt) >= enough:
            self._leapt.clear()
            return True
        reached = term <= self._reach
        if not reached and self._context.now >= self._stretched_at + _STRETCH:
            self._stretched_at = self._context.now
            self._reach = max(self._reach, self._limit()) + self._context.settings.max_term_jump
        return reached

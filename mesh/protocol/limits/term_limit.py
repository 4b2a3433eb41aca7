"""How far a claim may go beyond the highest term known: no liar is to use up all terms at once."""

from __future__ import annotations

import math
from collections.abc import Set

from mesh.protocol.base.context import Context
from mesh.wire import codec
from mesh.wire.identity import NodeId

_MANY = 8
"""So many others are believed whatever the size of the pool."""
_FEWEST = 2
"""Fewer are not: a single liar may be all that a member hears while it is cut off."""
_STRETCH = 1.0
"""How many seconds the limit takes for a jump towards claims above it."""


class TermLimit:
    """The highest term that one member knows of, and which claims above it the member takes."""

    def __init__(self, context: Context, present: Set[NodeId]) -> None:
        """``present``: the other members that are not known to be gone, kept up to date by the membership."""
        self._context = context
        self._present = present
        self.highest = 0
        self.settled_at = math.inf
        """When the election's start-up delay is over: what most others say is known from then on."""
        self._leapt: set[object] = set()
        """Members that gave claims above the limit, at most as many as it takes to believe them."""
        self._reach = 0
        """How far the limit has come to meet such claims, ..."""
        self._stretched_at = -math.inf
        """... and when it did so last."""

    def raise_to(self, term: int) -> None:
        """A signed claim of that term was seen; the term is stored before anything that follows from it."""
        if term > self.highest:
            self.highest = term
            self._context.persist("term", codec.pack([term]))

    def admits(self, term: int, source: object) -> bool:
        """Whether a claim of that term, given by ``source``, is taken.

        A claim above the limit is taken if most others gave such claims. Members give what they took
        themselves, so the pool went ahead and no liar leaps. Otherwise the limit comes to meet the claim, so
        slowly that nobody uses up all terms: a member that was led ahead while it was cut off is not refused
        for ever, and all members hold the same claims in the end.
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

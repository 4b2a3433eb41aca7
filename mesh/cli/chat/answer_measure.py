"""How long an answer took, and its pauses. Pure: the times are given."""

from typing import TypedDict

PAUSE_SECONDS = 1.0
"""A gap between two tokens of this length is a pause."""
MOST_PAUSES = 1000
"""Pauses of one answer that are kept; the longest is known in any case."""


class AnswerPause(TypedDict):
    seconds: float
    reason: str


class AnswerTimes(TypedDict):
    """Times in seconds. ``tokens_per_second``: from the first token to the last, pauses included."""

    first_token_seconds: float | None
    seconds: float
    tokens: int
    tokens_per_second: float | None
    longest_pause_seconds: float
    pauses: list[AnswerPause]


class AnswerMeasure:
    """Notes when tokens come, and what was waited for meanwhile."""

    def __init__(self, now: float) -> None:
        self._asked = self._last = self._end = now
        self._first: float | None = None
        self._pieces = 0
        self._counted: int | None = None
        self._longest = 0.0
        self._pauses: list[AnswerPause] = []

    def piece(self, now: float, lost: str, waited: str) -> None:
        """Note a piece of the answer.

        ``lost`` is the loss of a leader that the gap before it is owed to, if any; ``waited`` what was waited
        for otherwise. What is waited for before the first piece is a pause only where a leader was lost.
        """
        gap = now - self._last
        if self._first is None:
            self._first = now
        else:
            self._longest = max(self._longest, gap)
        if lost or (self._pieces and gap >= PAUSE_SECONDS):
            self._longest = max(self._longest, gap)
            if len(self._pauses) < MOST_PAUSES:
                self._pauses.append({"seconds": round(gap, 3), "reason": lost or waited})
        self._pieces += 1
        self._last = self._end = now

    def counted(self, tokens: int) -> None:
        """Note the number of tokens that the leader reports; else pieces count."""
        self._counted = tokens

    def ended(self, now: float) -> None:
        """Note the answer's end."""
        self._end = now

    def times(self) -> AnswerTimes:
        """Return what was measured."""
        tokens = self._pieces if self._counted is None else self._counted
        generating = self._last - self._first if self._first is not None else 0.0
        return {
            "first_token_seconds": None if self._first is None else round(self._first - self._asked, 3),
            "seconds": round(self._end - self._asked, 3),
            "tokens": tokens,
            "tokens_per_second": round((tokens - 1) / generating, 2) if tokens > 1 and generating else None,
            "longest_pause_seconds": round(self._longest, 3),
            "pauses": list(self._pauses),
        }

    def longest_pause(self) -> AnswerPause | None:
        """Return the longest of the pauses."""
        return max(self._pauses, key=lambda pause: pause["seconds"], default=None)

"""A token bucket: a bound on how much may be taken at once, and on how much a second in the long run."""

from __future__ import annotations


class TokenBucket:
    """Holds up to ``burst`` tokens and fills at ``rate`` a second; it is full at ``now``, in seconds."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._tokens, self._at = rate, burst, burst, now

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take ``cost`` tokens if there are so many. A full bucket pays a greater cost afterwards."""
        tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        enough = tokens >= min(cost, self._burst)
        self._tokens = tokens - cost if enough else tokens
        return enough

    def give_back(self) -> None:
        """Return one token that was taken for nothing."""
        self._tokens = min(self._burst, self._tokens + 1.0)

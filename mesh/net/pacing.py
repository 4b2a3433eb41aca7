"""How fast bulk bytes may leave this machine, so that nothing else on the link has to wait. Pure.

A queue before a slow link shows as growing round trips (LEDBAT, RFC 6817, judges by the same). While they
stay near the shortest one seen, the rate grows. It doubles each second until it first met a queue, and grows
by a twentieth each second from then on. When they grow beyond that by more than ``QUEUE``, the rate falls to
seven tenths of what was really sent, which empties the queue.
"""

from typing import Final

FIRST_RATE: Final = 4 << 20  # bytes a second
LEAST_RATE: Final = 256 << 10
MOST_RATE: Final = 128 << 20
"""A gigabit link's; more would take most of a core from what runs meanwhile."""

QUEUE: Final = 0.025
"""Seconds that the round trips to a peer may grow by."""

BACKOFF: Final = 0.7
AGAIN: Final = 1.0
"""Seconds after a fall before the round trips, which are averages, can show its effect."""

BURST_SECONDS: Final = 0.02
FORGET: Final = 60.0
"""Seconds after which to measure the shortest round trip again: routes change."""


class Pacer:
    """One for all bulk bytes that a machine sends."""

    def __init__(self, now: float) -> None:
        self.rate = float(FIRST_RATE)
        self._met_queue = False
        self._next = now  # when the bytes allowed so far will have left
        self._judged = now
        self._sent = 0
        self._calm_until = now
        self._shortest: dict[bytes, tuple[float, float]] = {}

    def delay(self, now: float, count: int) -> float:
        """Seconds to wait before ``count`` bytes may leave; they count as sent."""
        self._sent += count
        earliest = max(self._next, now - BURST_SECONDS)
        self._next = earliest + count / self.rate
        return max(0.0, earliest - now)

    def judge(self, now: float, round_trips: dict[bytes, float]) -> None:
        """Adapt to the present round trips (seconds, by peer) of the receiving peers.

        Call it several times a second.
        """
        elapsed, sent = now - self._judged, self._sent
        if elapsed <= 0.0:
            return
        queue = max((self._growth(now, peer, trip) for peer, trip in round_trips.items()), default=0.0)
        self._judged, self._sent = now, 0
        if queue > QUEUE:
            if now >= self._calm_until:
                reached = min(self.rate, sent / elapsed) if sent else self.rate
                self.rate = max(LEAST_RATE, BACKOFF * reached)
                self._met_queue = True
                self._calm_until = now + AGAIN
        elif now >= self._calm_until and sent / elapsed > self.rate / 2:
            # An unused rate says nothing about the link.
            factor = 1.05 if self._met_queue else 2.0
            self.rate = min(MOST_RATE, self.rate * factor ** min(elapsed, 1.0))

    def _growth(self, now: float, peer: bytes, trip: float) -> float:
        shortest, since = self._shortest.get(peer, (trip, now))
        if trip <= shortest or now - since > FORGET:
            shortest, since = trip, now
        self._shortest[peer] = (shortest, since)
        if len(self._shortest) > 256:
            self._shortest.pop(next(iter(self._shortest)))
        return trip - shortest

"""How fast bytes come, over the last seconds. Pure: the times are given."""

from collections import deque
from typing import Final

SECONDS: Final = 5.0
MOST_SAMPLES: Final = 256
"""Samples within those seconds; where more are taken, the rate is of a shorter time."""


class RecentRate:
    """Takes samples of how far something is."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=MOST_SAMPLES)

    def see(self, now: float, done: int) -> float:
        """Note ``done`` bytes at ``now`` seconds; return bytes a second, 0 where they are unknown or fall."""
        self._samples.append((now, done))
        while self._samples[0][0] < now - SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        return max(0.0, (done - before) / (now - since)) if now > since else 0.0

    def begin(self) -> None:
        """Forget what was seen."""
        self._samples.clear()

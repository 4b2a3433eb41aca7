"""How an answer is continued: exactly, as long as that is quick, unless the caller chose.

The duration of a replay is predicted twice: before it begins, by the time its tokens took at first; then by
its own first steps.
"""

from typing import Final, Literal

How = Literal["exact", "fast"]

REPLAY_LIMIT: Final = 2.0
"""Seconds that a replay may be predicted to take, unless the caller asked for it."""
PATIENCE: Final = 2.0
"""A replay that has begun may take so many times the limit: otherwise its work would be done twice."""
EXACT_LIMIT: Final = 600.0
"""Seconds that a replay may take that the caller asked for: the leader holds a slot for it."""
SAMPLE: Final = 8
"""Steps before the rest is predicted from them."""


def choose(mode: How | None, tokens: int, seconds_per_token: float) -> How:
    """Say how to continue after so many tokens: as the caller chose, else exactly if that is quick."""
    if mode is not None:
        return mode
    return "exact" if tokens * seconds_per_token < REPLAY_LIMIT else "fast"


class Pace:
    """Judges one replay by the time of its steps; ``limit`` is the seconds that it may take."""

    def __init__(self, limit: float = PATIENCE * REPLAY_LIMIT) -> None:
        self._limit = limit
        self._began: float | None = None

    def is_too_slow(self, now: float, done: int, total: int) -> bool:
        """Whether `total` steps take too long in all, after `done` of them; first called with none done."""
        if self._began is None:
            self._began = now
        elapsed = now - self._began
        return elapsed > self._limit or (done >= SAMPLE and elapsed * total > self._limit * done)

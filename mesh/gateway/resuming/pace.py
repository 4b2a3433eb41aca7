"""How an answer is continued: exactly, as long as that is quick, unless the caller chose.

The duration of a replay is predicted twice: before it begins, by the time its tokens took at first; then by
its own first steps. Each step is a request with its round trip: near the leader that adds some milliseconds,
far away it is most of the time.
"""

from typing import Final, Literal

How = Literal["exact", "fast"]

REPLAY_LIMIT: Final = 2.0
"""Seconds that a replay may be predicted to take, unless the caller asked for it."""
PATIENCE: Final = 2.0
"""A replay that has begun may take so many times the limit: otherwise its work would be done twice."""
SAMPLE: Final = 8
"""Steps before the rest is predicted from them."""


def choose(mode: How | None, tokens: int, seconds_per_token: float) -> How:
    """Say how to continue after so many tokens: as the caller chose, else exactly if that is quick."""
    if mode is not None:
        return mode
    return "exact" if tokens * seconds_per_token < REPLAY_LIMIT else "fast"


class Pace:
    """Judges one replay by the time of its steps."""

    def __init__(self) -> None:
        self._began: float | None = None

    def is_too_slow(self, now: float, done: int, total: int) -> bool:
        """Whether `total` steps take too long in all, after `done` of them; first called with none done."""
        if self._began is None:
            self._began = now
        elapsed, limit = now - self._began, PATIENCE * REPLAY_LIMIT
        return elapsed > limit or (done >= SAMPLE and elapsed * total > limit * done)

"""How an answer goes on: exactly, as long as that is quick, unless the caller has said.

What a replay will take is predicted twice. Before it begins, from what its tokens took when they were made;
then from its own first steps. For each of these is a request, with its way there and back: near the leader
that adds some milliseconds, far away it is most of it.
"""

from typing import Final, Literal

How = Literal["exact", "fast"]

REPLAY_LIMIT: Final = 2.0
"""Seconds that a replay may be predicted to take, unless the caller has asked for it."""
PATIENCE: Final = 2.0
"""So many times the limit one that has begun may take: what is computed already would be computed again."""
SAMPLE: Final = 8
"""Steps that tell what the others will take."""


def choose(wish: How | None, tokens: int, seconds_per_token: float) -> How:
    """Say how to continue after so many tokens: as wished, else exactly if that is quick."""
    if wish is not None:
        return wish
    return "exact" if tokens * seconds_per_token < REPLAY_LIMIT else "fast"


class Pace:
    """Judges one replay by what its steps take."""

    def __init__(self) -> None:
        self._began: float | None = None

    def is_too_slow(self, now: float, done: int, total: int) -> bool:
        """Whether so many steps, of which so many are done, take too long in all; first asked with none."""
        if self._began is None:
            self._began = now
        elapsed, limit = now - self._began, PATIENCE * REPLAY_LIMIT
        return elapsed > limit or (done >= SAMPLE and elapsed * total > limit * done)

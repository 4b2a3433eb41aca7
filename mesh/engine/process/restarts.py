"""When to start a process again that ended. Pure: the caller measures time and waits."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Restarts:
    """Exponential backoff: the pause doubles with each short run and starts over after a long one.

    All in seconds. A value holds the policy and the history so far; ``after_exit`` returns the next one.
    """

    first: float = 0.1
    longest: float = 10.0
    good: float = 30.0
    """A run of at least this long counts as success."""
    failures: int = 0
    """Short runs in a row."""

    def after_exit(self, ran_for: float) -> tuple["Restarts", float]:
        """The history after a run of ``ran_for`` seconds that ended, and the pause before the next."""
        failures = 1 if ran_for >= self.good else self.failures + 1
        # 2.0**k overflows from k = 1024 on; the pause has reached its longest well before 64.
        pause = min(self.longest, self.first * 2.0 ** min(failures - 1, 64))
        return replace(self, failures=failures), pause

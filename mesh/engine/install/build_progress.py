"""A build's progress and remaining time, from what its stages report. Pure."""

import re
from dataclasses import dataclass

from mesh.engine.types import Progress, Report

_STAGES = {
    "compiler": 0.03,
    "download": 0.10,
    "unpack": 0.02,
    "configure": 0.02,
    "compile": 0.81,
    "check": 0.02,
}
"""Each stage's share of the whole."""

COMPILE_CORE_SECONDS = 460.0
"""Seconds that compiling both programs for the CPU takes on one core of a current server: the first guess."""

_STEP = re.compile(r"^\[(\d+)/(\d+)\]")


def overall(stage: str, within: float) -> float:
    """The fraction of the whole way at ``within`` (0..1) of ``stage``."""
    before = 0.0
    for name, share in _STAGES.items():
        if name == stage:
            return before + share * min(1.0, max(0.0, within))
        before += share
    raise ValueError(stage)


def parse_step(line: str) -> tuple[int, int] | None:
    """``(steps done, steps in all)`` from a line of ninja's."""
    found = _STEP.match(line)
    return (int(found.group(1)), int(found.group(2))) if found else None


@dataclass(slots=True)
class Rate:
    """Work done since a moment, and the time that the rest takes at that rate."""

    started: float
    first: float = 0.0
    """What was done before the start: a resumed download's bytes, a resumed build's steps."""

    def remaining(self, now: float, done: float, total: float) -> float | None:
        """Seconds, or None while nothing was done yet."""
        worked, elapsed = done - self.first, now - self.started
        return None if worked <= 0 or elapsed <= 0 else (total - done) * elapsed / worked


class Course:
    """The progress from nothing to an engine; every method reports one ``Progress``."""

    def __init__(self, report: Report, cores: int) -> None:
        self._report = report
        self._compile_guess = COMPILE_CORE_SECONDS / max(1, cores)
        self._rate: Rate | None = None
        self._last = Progress("download", 0.0, None, "")

    @property
    def last(self) -> Progress:
        """The last report."""
        return self._last

    def tell(self, stage: str, within: float, eta: float | None, text: str) -> None:
        """Report a stage that has no measure of its own."""
        self._last = Progress(stage, overall(stage, within), eta, text)
        self._report(self._last)

    def waiting(self, fraction: float, eta: float | None, text: str) -> None:
        """Report that another process does the work, ``fraction`` of it so far."""
        self._last = Progress("waiting", fraction, eta, text)
        self._report(self._last)

    def ready(self, text: str) -> None:
        """Report that the engine is ready."""
        self._last = Progress("ready", 1.0, 0.0, text)
        self._report(self._last)

    def measure(self) -> None:
        """Begin a measured stage: its rate counts from its first report, whatever an earlier run did."""
        self._rate = None

    def downloaded(self, now: float, done: int, total: int | None, what: str) -> None:
        """Report the bytes of a download."""
        rest = None if total is None else self._remaining(now, done, total)
        eta = None if rest is None else rest + self._compile_guess
        text = f"downloading {what}: {done / 1e6:.0f} MB" + (f" of {total / 1e6:.0f} MB" if total else "")
        self.tell("download", done / total if total else 0.0, eta, text)

    def compiled(self, now: float, done: int, total: int) -> None:
        """Report the steps of a compilation."""
        rest = self._remaining(now, done, total)
        guess = self._compile_guess * (total - done) / max(1, total)
        self.tell(
            "compile", done / max(1, total), guess if rest is None else rest, f"compiling: {done} of {total}"
        )

    def _remaining(self, now: float, done: int, total: int) -> float | None:
        if self._rate is None:
            self._rate = Rate(now, done)
        return self._rate.remaining(now, done, total)

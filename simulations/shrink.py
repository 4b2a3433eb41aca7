"""Makes a failing schedule smaller: fewer faults that still fail (Zeller and Hildebrandt, 2002).

Leaving a fault out changes the course of everything after it, so the remaining faults may fail otherwise.
What counts is that the same checker finds a violation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulations.chaos import Chaos, ChaosPlan


def checker_of(violation: str) -> str:
    """The name of the checker that found it, without time and particulars."""
    return violation.split(" ", 1)[-1].split(":", 1)[0]


def fails(plan: ChaosPlan, checkers: set[str]) -> Callable[[Sequence[int]], bool]:
    """Whether a part of the plan's faults, by number, makes one of these checkers find a violation."""

    def judge(kept: Sequence[int]) -> bool:
        outcome = Chaos(plan, frozenset(kept)).run()
        return any(checker_of(violation) in checkers for violation in outcome.violations)

    return judge


def shrink(
    numbers: Sequence[int], failing: Callable[[Sequence[int]], bool], most: int, tell: Callable[[str], object]
) -> list[int]:
    """Leave out ever smaller parts as long as the rest still fails; at most so many runs."""
    kept = list(numbers)
    size = max(1, len(kept) // 2)
    runs = 0
    while runs < most:
        start, smaller = 0, False
        while start < len(kept) and runs < most:
            rest = kept[:start] + kept[start + size :]
            runs += 1
            if failing(rest):
                kept, smaller = rest, True
                tell(f"{len(kept)} faults still fail")
            else:
                start += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return kept

"""The result of a measure: parameters, results, and goals with the measured values beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulations.measures.percentiles import enough_for, percentile


@dataclass(frozen=True, slots=True)
class Goal:
    """``measured`` must be at most ``goal`` (``at_least``: at least); None: nothing was measured."""

    what: str
    goal: float
    measured: float | None
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    def told(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "goal": self.goal,
            "measured": self.measured,
            "unit": self.unit,
            "met": self.met,
        }


@dataclass(slots=True)
class Measurement:
    """One command's run."""

    name: str
    parameters: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "parameters": self.parameters,
            "results": self.results,
            "goals": [goal.told() for goal in self.goals],
        }


def tail_goal(what: str, goal: float, samples: Sequence[float], unit: str = "s", share: float = 0.99) -> Goal:
    """A goal for a percentile; with too few samples for one, for the largest, and the goal says so."""
    if not samples:
        return Goal(f"{what}, p{share * 100:g}", goal, None, unit)
    if len(samples) < enough_for(share):
        return Goal(f"{what}, largest of {len(samples)}", goal, round(max(samples), 4), unit)
    return Goal(
        f"{what}, p{share * 100:g} of {len(samples)}", goal, round(percentile(samples, share), 4), unit
    )


def median_goal(what: str, goal: float, samples: Sequence[float], unit: str = "s") -> Goal:
    """A goal for the median."""
    measured = round(percentile(samples, 0.5), 4) if samples else None
    return Goal(f"{what}, median of {len(samples)}", goal, measured, unit)


def as_json(measurement: Measurement) -> str:
    return json.dumps(measurement.told())


def as_text(measurement: Measurement) -> str:
    """A table for people: results one a line, then the goals."""
    shown = ", ".join(f"{key} {_short(value)}" for key, value in measurement.parameters.items())
    lines = [f"{measurement.name}: {shown}"]
    for name, value in measurement.results.items():
        if isinstance(value, Mapping):
            flat = {key: each for key, each in value.items() if not isinstance(each, list | dict)}
            lines.append(f"  {name:<28} " + "  ".join(f"{key} {_short(each)}" for key, each in flat.items()))
        elif not isinstance(value, list):
            lines.append(f"  {name:<28} {_short(value)}")
    for goal in measurement.goals:
        sign = ">=" if goal.at_least else "<="
        lines.append(
            f"{'met   ' if goal.met else 'MISSED'} {goal.what}: {_short(goal.measured)} {goal.unit} "
            f"(goal {sign} {_short(goal.goal)})"
        )
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

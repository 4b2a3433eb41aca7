"""What every benchmark hands over: one object with parameters, results and goals, or a table for people."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Summary:
    """Samples in short; the unit is theirs. ``p99`` is by nearest rank: of less than 100, the maximum."""

    median: float
    p99: float
    maximum: float
    count: int

    @classmethod
    def of(cls, samples: Iterable[float]) -> "Summary | None":
        """None where there are no samples."""
        ordered = sorted(samples)
        if not ordered:
            return None
        return cls(
            round(statistics.median(ordered), 4),
            round(nearest_rank(ordered, 0.99), 4),
            round(ordered[-1], 4),
            len(ordered),
        )


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` (0..1) of all, which are in order, do not exceed."""
    # A product such as 0.07 * 100 comes out a little above the whole number that it is.
    return ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach; one that could not be measured (None) is missed."""

    what: str
    goal: float
    measured: float | None
    unit: str
    met: bool


def at_most(what: str, goal: float, measured: float | None, unit: str) -> Goal:
    """A goal that less is better for."""
    return Goal(what, goal, measured, unit, measured is not None and measured <= goal)


def at_least(what: str, goal: float, measured: float | None, unit: str) -> Goal:
    """A goal that more is better for."""
    return Goal(what, goal, measured, unit, measured is not None and measured >= goal)


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of what was compared: a cell for each subject that has one."""

    what: str
    unit: str
    cells: Mapping[str, Summary]


@dataclass(frozen=True, slots=True)
class Report:
    """``results`` is for programs, ``rows`` are the same for people; ``notes`` say how to read both."""

    name: str
    parameters: Mapping[str, Any]
    results: Mapping[str, Any]
    goals: Sequence[Goal]
    rows: Sequence[Row] = ()
    notes: Sequence[str] = field(default=())

    def as_object(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "name": self.name,
            "parameters": dict(self.parameters),
            "results": {**self.results, "notes": list(self.notes)},
            "goals": [asdict(goal) for goal in self.goals],
        }


def deliver(report: Report, *, as_json: bool, check: bool) -> int:
    """Prints the report; the exit code is 1 when ``check`` is set and a goal was missed."""
    if as_json:
        print(json.dumps(report.as_object()))
    else:
        show(report, Console())
    return 1 if check and not all(goal.met for goal in report.goals) else 0


def show(report: Report, console: Console) -> None:
    """The table, the goals and the notes."""
    subjects = list(dict.fromkeys(subject for row in report.rows for subject in row.cells))
    parameters = ", ".join(f"{name} {value}" for name, value in report.parameters.items())
    console.print(f"{report.name}: {parameters}", highlight=False)
    table = Table(caption="median / p99 / maximum (samples)")
    for heading in ("", "unit", *subjects):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right")
    for row in report.rows:
        cells = [_cell(row.cells.get(subject)) for subject in subjects]
        table.add_row(row.what, row.unit, *cells)
    console.print(table)
    for goal in report.goals:
        measured = "not measured" if goal.measured is None else f"{goal.measured:g} {goal.unit}"
        console.print(
            f"{'ok  ' if goal.met else 'MISS'} {goal.what}: {measured} (goal {goal.goal:g})", highlight=False
        )
    for note in report.notes:
        console.print(f"- {note}", highlight=False, style="dim")


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    return f"{summary.median:.4g} / {summary.p99:.4g} / {summary.maximum:.4g} ({summary.count})"

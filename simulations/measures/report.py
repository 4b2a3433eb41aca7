"""``report``: every measure at sizes that fit a time budget, its curves, and a table of goals met and missed.

Each run has a share of the budget, which buys the measure's own repeats. A small pilot shows what one costs;
then as many as fit are made, at most those that the goal asks for.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.protocol.base.settings import Settings
from mesh.wire.errors import MeshError
from simulations.measures.curves import draw_all

Runner = Callable[[str, Sequence[str]], dict[str, Any]]
"""Runs a command with these arguments and returns its result."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run: its command, size and options, its share of the budget, the most repeats that it wants.

    ``repeats`` names the option that says how many; ``cost`` guesses the seconds of the least run, which
    is left out when its share does not reach for it.
    """

    command: str
    nodes: int
    share: float
    most: int
    least: int = 2
    options: tuple[str, ...] = ()
    repeats: str = "--seeds"
    cost: float = 1.0


PLANNED_RUNS = (
    PlannedRun("detect", 10, 3, 1000, options=("--kinds", "silent,process")),
    PlannedRun("detect", 100, 12, 1000, options=("--kinds", "silent,process"), cost=5),
    PlannedRun("detect", 1000, 14, 200, options=("--kinds", "silent,process"), cost=240),
    PlannedRun("detect", 10, 1, 300, least=3, options=("--kinds", "pause,full-link"), cost=3),
    PlannedRun("detect", 100, 14, 300, least=3, options=("--kinds", "pause,one-way,full-link"), cost=60),
    PlannedRun("detect", 1000, 12, 100, least=3, options=("--kinds", "pause,full-link"), cost=400),
    PlannedRun("falsedeaths", 100, 10, 2000, 100, ("--loss", "0.05", "--hours", "100"), "--probes", 55),
    PlannedRun("falsedeaths", 100, 10, 2000, 5, ("--loss", "0.2", "--hours", "10"), "--probes", 100),
    PlannedRun("converge", 10, 0.5, 1000),
    PlannedRun("converge", 100, 1.5, 1000, cost=3),
    PlannedRun("converge", 1000, 6, 200, cost=150),
    PlannedRun("join", 10, 0.5, 1000),
    PlannedRun("join", 100, 8, 10_000, cost=10),
    PlannedRun("join", 1000, 14, 100, 1, cost=400),
    PlannedRun("idle", 10, 0.2, 60, 10, repeats="--seconds"),
    PlannedRun("idle", 100, 0.5, 60, 10, repeats="--seconds", cost=3),
    PlannedRun("idle", 1000, 5, 30, 5, repeats="--seconds", cost=150),
    PlannedRun("idle", 10_000, 5, 60, 5, repeats="--seconds", cost=200),
    PlannedRun("failover", 10, 2, 1000),
    PlannedRun("failover", 100, 10, 1000, cost=5),
    PlannedRun("throughput", 1000, 6, 20, cost=200),
)


def produce(
    folder: Path,
    minutes: float,
    run: Runner,
    planned_runs: Sequence[PlannedRun] | None = None,
    curves: bool = True,
) -> dict[str, Any]:
    """Run what fits, draw, write ``report.json`` and ``REPORT.md``; returns the whole as one object.

    Raises MeshError when the folder cannot be made or curves cannot be drawn.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise MeshError(f"{folder} cannot be made: {problem.strerror}") from None
    planned_runs = PLANNED_RUNS if planned_runs is None else planned_runs
    shares = sum(planned.share for planned in planned_runs)
    runs, left_out = [], []
    ends = time.monotonic() + 60 * minutes
    for planned in planned_runs:
        # The runs that are still to come share what the earlier ones did not use.
        seconds = max(0.0, ends - time.monotonic()) * planned.share / shares
        shares -= planned.share
        if planned.cost > seconds:
            left_out.append(f"{planned.command} at n={planned.nodes} {' '.join(planned.options)}".rstrip())
        else:
            runs.append(_fitted(planned, seconds, run))
    report = {
        "name": "report",
        "parameters": {"minutes": minutes, "left_out": left_out},
        "results": {_title(told): told["results"] for told in runs},
        "goals": [goal for told in runs for goal in told["goals"]],
    }
    (folder / "report.json").write_text(json.dumps({**report, "runs": runs}, indent=1) + "\n")
    drawn = draw_all(folder, runs, Settings()) if curves else []
    (folder / "REPORT.md").write_text(_markdown(runs, drawn, left_out))
    return report


def _fitted(planned: PlannedRun, seconds: float, run: Runner) -> dict[str, Any]:
    """Run a planned run with as many repeats as its share of the time allows."""
    arguments = ["--nodes", str(planned.nodes), *planned.options]
    started = time.monotonic()
    told = run(planned.command, [*arguments, planned.repeats, str(planned.least)])
    spent = max(1e-3, time.monotonic() - started)
    repeats = min(planned.most, int(planned.least * (seconds - spent) / spent))
    if repeats > planned.least:
        arguments += [planned.repeats, str(repeats)]
        told = run(planned.command, arguments)
    else:
        arguments += [planned.repeats, str(planned.least)]
    told["command"] = " ".join(["python -m simulations", planned.command, *arguments])
    return told


def _title(told: dict[str, Any]) -> str:
    return str(told["command"]).removeprefix("python -m simulations ")


def _markdown(runs: Sequence[dict[str, Any]], drawn: Sequence[str], left_out: Sequence[str]) -> str:
    lines = ["# What the protocol does, measured in the simulated world", ""]
    missed = sum(not goal["met"] for told in runs for goal in told["goals"])
    total = sum(len(told["goals"]) for told in runs)
    lines += [
        f"{total - missed} of {total} goals met. Times from the fault to its effect at every live member.",
        "",
    ]
    lines += ["| | what | goal | measured | unit |", "|---|---|---|---|---|"]
    for told in runs:
        for goal in told["goals"]:
            met = "met" if goal["met"] else "**missed**"
            measured = goal["measured"]
            shown = f"{measured:.4g}" if isinstance(measured, float) else measured
            lines.append(f"| {met} | {goal['what']} | {goal['goal']:g} | {shown} | {goal['unit']} |")
    lines += ["", "## Curves", ""] if drawn else []
    lines += [f"![{name}]({name}.svg)" for name in drawn]
    lines += ["", "## Commands", "", "```", *(told["command"] for told in runs), "```"]
    if left_out:
        lines += ["", "Left out, for the time was too short: " + "; ".join(left_out) + "."]
    return "\n".join(lines) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder")
    parser.add_argument("--minutes", type=float, default=30.0, help="time to spend, about (default 30)")
    parser.add_argument("--no-curves", action="store_true", help="without matplotlib")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")

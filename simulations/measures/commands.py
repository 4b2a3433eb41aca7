"""The commands that measure the protocol: how fast, how often wrong, at what cost."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mesh.protocol.base.settings import Settings
from mesh.wire.errors import MeshError
from simulations.measures import converge, detect, failover, falsedeaths, idle, join, report, throughput
from simulations.measures.outcome import Outcome, as_json, as_text
from simulations.measures.repeats import Plan


class Measure(NamedTuple):
    """One command: what it asks, its usual size, its own options, how it is done."""

    help: str
    nodes: int
    seeds: int
    add_arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[Plan, argparse.Namespace], Outcome]


MEASURES = {
    "detect": Measure(
        "until a crash is known everywhere, and troubles that are no crash",
        100, 100, detect.add_arguments, detect.measure,
    ),
    "falsedeaths": Measure(
        "how often a healthy member is held dead when datagrams are lost",
        100, 1, falsedeaths.add_arguments, falsedeaths.measure,
    ),
    "converge": Measure(
        "rounds until a new fact is known everywhere", 100, 200, converge.add_arguments, converge.measure
    ),
    "join": Measure(
        "until all know all when everybody joins at once", 100, 20, join.add_arguments, join.measure
    ),
    "idle": Measure("bytes a second when nothing happens", 100, 1, idle.add_arguments, idle.measure),
    "failover": Measure(
        "from the leader's end to one new leader known everywhere",
        100, 100, failover.add_arguments, failover.measure,
    ),
    "throughput": Measure(
        "how fast the simulator is", 1000, 10, throughput.add_arguments, throughput.measure
    ),
}  # fmt: skip


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the measuring commands, and the one that runs them all."""
    for name, measure in MEASURES.items():
        parser = commands.add_parser(name, help=measure.help)
        parser.add_argument("--nodes", type=int, default=measure.nodes)
        parser.add_argument("--seeds", type=int, default=measure.seeds, help="repeats")
        parser.add_argument("--first-seed", type=int, default=1)
        parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
        parser.add_argument("--json", action="store_true", help="print one object")
        parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="another value of a setting"
        )
        measure.add_arguments(parser)
        parser.set_defaults(run=_run, measure=measure.measure)
    parser = commands.add_parser("report", help="all measures within a time, with curves, into a folder")
    report.add_arguments(parser)
    parser.set_defaults(run=_report)


def measured(options: argparse.Namespace) -> Outcome:
    """Do what the options of a measure ask for; raises MeshError on a setting that is none."""
    settings = changed(Settings(), options.set)
    plan = Plan(max(2, options.nodes), max(1, options.seeds), options.first_seed, options.jobs, settings)
    outcome: Outcome = options.measure(plan, options)
    outcome.parameters["settings"] = options.set
    return outcome


def _run(options: argparse.Namespace) -> int:
    try:
        outcome = measured(options)
    except MeshError as error:
        return _refused(error)
    print(as_json(outcome) if options.json else as_text(outcome))
    return 1 if options.check and not all(goal.met for goal in outcome.goals) else 0


def _report(options: argparse.Namespace) -> int:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers(dest="command"))

    def run(command: str, arguments: Sequence[str]) -> dict[str, Any]:
        outcome = measured(parser.parse_args([command, "--jobs", str(options.jobs), *arguments]))
        if not options.json:
            print(as_text(outcome), flush=True)
        return outcome.told()

    try:
        told = report.produce(options.out, options.minutes, run, curves=not options.no_curves)
    except MeshError as error:
        return _refused(error)
    print(json.dumps(told) if options.json else f"See {options.out / 'REPORT.md'}")
    return 1 if options.check and not all(goal["met"] for goal in told["goals"]) else 0


def _refused(error: MeshError) -> int:
    print(f"{error.message}; {error.hint}" if error.hint else error.message, file=sys.stderr)
    return 2


def changed(settings: Settings, changes: list[str]) -> Settings:
    """Settings with ``NAME=VALUE`` applied; raises MeshError on a name or value that is none."""
    types = {field.name: type(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    values: dict[str, float | int] = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in types:
            raise MeshError(f"{name!r} is no setting", f"one of {', '.join(types)}")
        try:
            values[name] = types[name](value)
        except ValueError:
            raise MeshError(f"{value!r} is no value of {name}", f"a {types[name].__name__}") from None
    return dataclasses.replace(settings, **values)  # type: ignore[arg-type]

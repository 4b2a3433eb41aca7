"""The commands that measure the protocol: how fast, how often wrong, at what cost."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from mesh.protocol.base.settings import Settings
from mesh.wire.errors import MeshError
from simulations.measures import (
    blaming,
    converge,
    crash_detection,
    failover,
    idle,
    mass_join,
    report,
    throughput,
)
from simulations.measures.falsedeaths import command as falsedeaths
from simulations.measures.measurement import Measurement, as_json, as_text
from simulations.measures.trials import TrialPlan


class Measure(Protocol):
    """A module that measures something: its own options, and the measurement."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def measure(self, plan: TrialPlan, options: argparse.Namespace) -> Measurement: ...


class MeasureCommand(NamedTuple):
    """A command's question, its usual number of members and of repeats, and the module that measures it."""

    help: str
    nodes: int
    seeds: int
    module: Measure


MEASURES = {
    "detect": MeasureCommand(
        "until a crash is known everywhere, and troubles that are no crash", 100, 100, crash_detection
    ),
    "falsedeaths": MeasureCommand(
        "how often a healthy member is held dead when datagrams are lost", 100, 1, falsedeaths
    ),
    "converge": MeasureCommand("rounds until a new fact is known everywhere", 100, 200, converge),
    "join": MeasureCommand("until all know all when everybody joins at once", 100, 20, mass_join),
    "idle": MeasureCommand("bytes a second when nothing happens", 100, 1, idle),
    "failover": MeasureCommand(
        "from the leader's end to one new leader known everywhere", 100, 100, failover
    ),
    "blame": MeasureCommand("what a worker that lies or fails costs, and who is blamed", 6, 100, blaming),
    "throughput": MeasureCommand("how fast the simulator is", 1000, 10, throughput),
}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the measuring commands, and the one that runs them all."""
    for name, command in MEASURES.items():
        parser = commands.add_parser(name, help=command.help)
        parser.add_argument("--nodes", type=int, default=command.nodes)
        parser.add_argument("--seeds", type=int, default=command.seeds, help="repeats")
        parser.add_argument("--first-seed", type=int, default=1)
        parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
        parser.add_argument("--json", action="store_true", help="print one object")
        parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="another value of a setting"
        )
        command.module.add_arguments(parser)
        parser.set_defaults(run=_run, measure=command.module.measure)
    parser = commands.add_parser("report", help="all measures within a time, with curves, into a folder")
    report.add_arguments(parser)
    parser.set_defaults(run=_report)


def measured(options: argparse.Namespace) -> Measurement:
    """Run the measure that the options ask for; raises MeshError for an unknown setting."""
    settings = changed(Settings(), options.set)
    plan = TrialPlan(max(2, options.nodes), max(1, options.seeds), options.first_seed, options.jobs, settings)
    measurement: Measurement = options.measure(plan, options)
    measurement.parameters["settings"] = options.set
    return measurement


def _run(options: argparse.Namespace) -> int:
    try:
        measurement = measured(options)
    except MeshError as error:
        return _refused(error)
    print(as_json(measurement) if options.json else as_text(measurement))
    return 1 if options.check and not all(goal.met for goal in measurement.goals) else 0


def _report(options: argparse.Namespace) -> int:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers(dest="command"))

    def run(command: str, arguments: Sequence[str]) -> dict[str, Any]:
        measurement = measured(parser.parse_args([command, "--jobs", str(options.jobs), *arguments]))
        if not options.json:
            print(as_text(measurement), flush=True)
        return measurement.told()

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
    """Settings with ``NAME=VALUE`` applied; raises MeshError for an unknown name or a wrong value."""
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

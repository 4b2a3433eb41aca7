"""The commands that measure the protocol: how fast, how often wrong, at what cost."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from mesh.protocol.settings import Settings
from mesh.wire.errors import MeshError
from simulations.measures import converge, detect, failover, falsedeaths, idle, join, throughput
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
    """Add the measuring commands."""
    for name, measure in MEASURES.items():
        parser = commands.add_parser(name, help=measure.help)
        parser.add_argument("--nodes", type=int, default=measure.nodes)
        parser.add_argument("--seeds", type=int, default=measure.seeds, help="repeats")
        parser.add_argument("--first-seed", type=int, default=1)
        parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
        parser.add_argument("--json", action="store_true", help="print one object")
        parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="another value of a protocol setting",
        )
        measure.add_arguments(parser)
        parser.set_defaults(run=_run, measure=measure.measure)


def _run(options: argparse.Namespace) -> int:
    try:
        settings = changed(Settings(), options.set)
    except MeshError as error:
        print(f"{error.message}; {error.hint}")
        return 2
    plan = Plan(max(2, options.nodes), max(1, options.seeds), options.first_seed, options.jobs, settings)
    outcome: Outcome = options.measure(plan, options)
    outcome.parameters["settings"] = options.set
    print(as_json(outcome) if options.json else as_text(outcome))
    return 1 if options.check and not all(goal.met for goal in outcome.goals) else 0


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

"""``serf``: how fast real agents join and notice a killed one, and what they cost idle."""

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import trio

from mesh.wire.errors import MeshError
from tests.benchmarks.idle import HEADERS
from tests.benchmarks.kinship_system import KinshipSystem
from tests.benchmarks.mesh_system import MeshSystem
from tests.benchmarks.observe import NeverSeen
from tests.benchmarks.report import Goal, Report, Row, Summary, at_most
from tests.benchmarks.serf_system import SerfSystem
from tests.benchmarks.systems import AgentError, System, Unavailable
from tests.benchmarks.trial import Settings, Trial, run_trial
from tests.lab import namespaces
from tests.lab.host import CommandFailed
from tests.lab.lab import MAX_HOSTS

HELP = "join, detection and idle cost of real agents on this machine, against serf and kinship"
OURS = MeshSystem.name
MAKERS: Mapping[str, Callable[[bool], System]] = {
    OURS: lambda install: MeshSystem(),
    SerfSystem.name: SerfSystem,
    KinshipSystem.name: KinshipSystem,
}
IDLE_GOAL_NODES = 16
"""A sidecar's processor time and memory have a goal for pools up to this size."""
SMALL_POOL = 100


@dataclass(slots=True)
class Outcome:
    """All trials of a system; a trial that failed has left its reason instead."""

    system: System
    trials: list[Trial] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def samples(self) -> dict[str, tuple[str, str, list[float]]]:
        """Of each measure: what people call it, its unit, its samples."""
        quiet = [one for trial in self.trials for one in trial.idle]
        wire = [one.wire_bytes_per_second for one in quiet if one.wire_bytes_per_second is not None]
        payload = [one.payload_bytes_per_second for one in quiet if one.payload_bytes_per_second is not None]
        packets = [one.packets_per_second for one in quiet if one.packets_per_second is not None]
        observations = [each for trial in self.trials for each in (trial.join, trial.detection)]
        return {
            "join_seconds": ("join: last command to all see all", "s", [t.join.seconds for t in self.trials]),
            "detection_seconds": (
                "kill -9 to dead at every other agent",
                "s",
                [t.detection.seconds for t in self.trials],
            ),
            "detection_middle_seconds": (
                "the same at half of them",
                "s",
                [t.detection.middle for t in self.trials],
            ),
            "blur_seconds": ("of these, at most by observing", "s", [each.blur for each in observations]),
            "idle_payload_bytes_per_second": ("idle: payload sent by an agent", "bytes/s", payload),
            "idle_wire_bytes_per_second": ("idle: the same with headers", "bytes/s", wire),
            "idle_packets_per_second": ("idle: packets sent by an agent", "1/s", packets),
            "idle_cpu_percent": ("idle: share of a core", "%", [one.cpu_percent for one in quiet]),
            "idle_rss_megabytes": ("idle: resident memory", "MB", [one.rss_megabytes for one in quiet]),
        }


def configure(parser: argparse.ArgumentParser) -> None:
    """The options besides --json and --check, which every benchmark has."""
    parser.add_argument("--nodes", type=_between(2, MAX_HOSTS), default=16, metavar="N")
    parser.add_argument("--repeats", type=_between(1, 10_000), default=20, metavar="R", help="pools a system")
    parser.add_argument(
        "--systems",
        type=_systems,
        default=None,
        metavar="A,B",
        help=f"of {','.join(MAKERS)} (those there are)",
    )
    parser.add_argument("--install", action="store_true", help="fetch serf and kinship into the cache")
    parser.add_argument("--seed", type=int, default=1, help="whom to kill")
    parser.add_argument(
        "--poll", type=_seconds, default=0.1, metavar="S", help="between questions to an agent"
    )
    parser.add_argument("--settle", type=_seconds, default=3.0, metavar="S", help="from joined to the kill")
    parser.add_argument(
        "--idle", type=_seconds, default=30.0, metavar="S", help="how long agents are left alone"
    )
    parser.add_argument("--idle-repeats", type=int, default=1, metavar="R", help="in how many pools")
    parser.add_argument(
        "--limit", type=_seconds, default=90.0, metavar="S", help="of waiting for any of this"
    )
    parser.add_argument(
        "--loopback", action="store_true", help="127.x.y.z also where namespaces are possible"
    )


def run(options: argparse.Namespace) -> Report:
    """The whole benchmark. Raises MeshError where what was asked for cannot be run."""
    systems, skipped = _available(options.systems, options.install)
    settings = Settings(
        options.nodes,
        options.poll,
        options.settle,
        options.idle,
        options.limit,
        False if options.loopback else None,
    )
    load = os.getloadavg()
    outcomes = trio.run(_run_all, systems, settings, options)
    parameters = {
        "nodes": options.nodes,
        "repeats": options.repeats,
        "seed": options.seed,
        "poll_seconds": options.poll,
        "settle_seconds": options.settle,
        "idle_seconds": options.idle,
        "idle_repeats": options.idle_repeats,
        "network": "namespaces" if namespaces.available() and not options.loopback else "loopback",
        "cores": os.cpu_count(),
        "load_before": round(load[0], 2),
        "load_after": round(os.getloadavg()[0], 2),
    }
    return report(parameters, outcomes, skipped)


def report(parameters: Mapping[str, Any], outcomes: Sequence[Outcome], skipped: Mapping[str, str]) -> Report:
    """What was measured, in figures; goals are for our own agents, and for what was looked at."""
    cells: dict[str, Row] = {}
    results: dict[str, Any] = {"skipped": dict(skipped)}
    for outcome in outcomes:
        samples = outcome.samples()
        summaries = {key: Summary.of(values) for key, (_, _, values) in samples.items()}
        results[outcome.system.name] = _result(outcome, summaries)
        for key, (what, unit, _) in samples.items():
            row = cells.setdefault(key, Row(what, unit, {}))
            if (summary := summaries[key]) is not None:
                cells[key] = Row(what, unit, {**row.cells, outcome.system.name: summary})
    ours = next((outcome for outcome in outcomes if outcome.system.name == OURS), None)
    goals = [] if ours is None else _goals(ours, int(parameters["nodes"]))
    notes = [*_NOTES, *(f"{name} left out: {reason}" for name, reason in skipped.items())]
    notes += [
        f"{outcome.system.name} {outcome.system.version}: {outcome.system.settings}" for outcome in outcomes
    ]
    notes += [f"{outcome.system.name}: {reason}" for outcome in outcomes for reason in outcome.failures]
    return Report("serf", parameters, results, goals, list(cells.values()), notes)


_NOTES = (
    "a trial is a new pool: agents are started, then all but the first join it at the same moment",
    "times end with the view of the last agent; each is asked at the same interval over its local interface",
    "a time may be too long by what the row below the times says, never too short",
    f"payload is what the interface counted less {HEADERS} bytes of headers a packet",
    "p99 is by nearest rank: of less than 100 samples it is the maximum",
)


def _result(outcome: Outcome, summaries: Mapping[str, Summary | None]) -> dict[str, Any]:
    figures = {
        key: None
        if summary is None
        else {
            "median": summary.median,
            "p99": summary.p99,
            "maximum": summary.maximum,
            "count": summary.count,
        }
        for key, summary in summaries.items()
    }
    return {
        "version": outcome.system.version,
        "settings": outcome.system.settings,
        **figures,
        "living_held_dead": sum(trial.wrongly for trial in outcome.trials),
        "failures": outcome.failures,
        "samples": {
            "join_seconds": [round(trial.join.seconds, 4) for trial in outcome.trials],
            "detection_seconds": [round(trial.detection.seconds, 4) for trial in outcome.trials],
        },
    }


def _goals(ours: Outcome, nodes: int) -> list[Goal]:
    summaries = {key: Summary.of(values) for key, (_, _, values) in ours.samples().items()}

    def figure(key: str, which: str) -> float | None:
        summary = summaries[key]
        return None if summary is None else float(getattr(summary, which))

    goals = [at_most("pools that failed to form or to notice", 0, len(ours.failures), "pools")]
    wrongly = sum(trial.wrongly for trial in ours.trials)
    goals.append(at_most("living agents held dead", 0, wrongly, "views"))
    small, tiny = nodes <= SMALL_POOL, nodes <= IDLE_GOAL_NODES
    if small:
        goals += [
            at_most("join, p99", 3.0, figure("join_seconds", "p99"), "s"),
            at_most(
                "killed process known everywhere, median", 1.0, figure("detection_seconds", "median"), "s"
            ),
            at_most("killed process known everywhere, p99", 2.0, figure("detection_seconds", "p99"), "s"),
        ]
    for key, asked, what, most, unit in (
        ("idle_payload_bytes_per_second", small, "idle, payload sent by the busiest agent", 1000, "bytes/s"),
        ("idle_cpu_percent", tiny, "idle, share of a core, busiest agent", 1, "%"),
        ("idle_rss_megabytes", tiny, "idle, resident memory, largest agent", 64, "MB"),
    ):
        if asked and summaries[key] is not None:
            goals.append(at_most(what, most, figure(key, "maximum"), unit))
    return goals


async def _run_all(
    systems: Sequence[System], settings: Settings, options: argparse.Namespace
) -> list[Outcome]:
    """Trial by trial, the systems taking turns, so that whatever else the machine does meets all of them."""
    outcomes = [Outcome(system) for system in systems]
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_sigterm)
        for repeat in range(options.repeats):
            for outcome in outcomes:
                chance = random.Random(f"{options.seed} {repeat}")
                try:
                    trial = await run_trial(outcome.system, settings, chance, repeat < options.idle_repeats)
                except* (AgentError, NeverSeen, CommandFailed, psutil.Error) as group:
                    outcome.failures.append(f"trial {repeat + 1}: {_first(group)}")
                    _progress(f"{outcome.system.name} {outcome.failures[-1]}")
                else:
                    outcome.trials.append(trial)
                    _progress(
                        f"{outcome.system.name} trial {repeat + 1}: joined in {trial.join.seconds:.2f} s, "
                        f"noticed in {trial.detection.seconds:.2f} s"
                    )
        nursery.cancel_scope.cancel()
    return outcomes


async def _stop_on_sigterm(*, task_status: trio.TaskStatus[None]) -> None:
    """Ends like Ctrl-C: the labs' hosts are cleared on the way out."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            raise KeyboardInterrupt


def _available(wanted: Sequence[str] | None, install: bool) -> tuple[list[System], dict[str, str]]:
    systems: list[System] = []
    skipped: dict[str, str] = {}
    for name in wanted or MAKERS:
        try:
            systems.append(MAKERS[name](install))
        except Unavailable as problem:
            if wanted:
                raise MeshError(str(problem)) from problem
            skipped[name] = str(problem)
            _progress(str(problem))
    return systems, skipped


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _systems(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MAKERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(MAKERS)}")
    return names


def _between(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return convert


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds

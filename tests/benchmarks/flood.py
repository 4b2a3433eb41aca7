"""``flood``: whether datagrams that one host pours on all members slow down how fast they notice a death."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from mesh.wire.errors import MeshError
from tests.benchmarks.mesh_system import MeshAgent, MeshSystem
from tests.benchmarks.observe import NeverSeen, in_thread, until_all
from tests.benchmarks.report import Report, Row, Summary, at_most
from tests.benchmarks.systems import AgentError
from tests.benchmarks.trial import Settings, join_all, until_up
from tests.lab.host import Host
from tests.lab.lab import Lab

HELP = "detection of a killed member with and without a flood of forged datagrams from one host"
ROOT = str(Path(__file__).parents[2])
SETTLE_SECONDS = 2.0
QUIET, FLOODED = "quiet", "flooded"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options besides --json and --check."""
    parser.add_argument("--nodes", type=int, default=6, metavar="N")
    parser.add_argument("--repeats", type=int, default=10, metavar="R", help="deaths of each kind")
    parser.add_argument("--rate", type=int, default=20_000, metavar="R", help="datagrams a second, over all")
    parser.add_argument("--seed", type=int, default=1, help="whom to kill")


def run(options: argparse.Namespace) -> Report:
    """Raises MeshError where it cannot be measured."""
    load = os.getloadavg()
    samples, rates = trio.run(_measure, options)
    medians = {how: statistics.median(seconds) for how, seconds in samples.items()}
    slower = 100.0 * (medians[FLOODED] / medians[QUIET] - 1.0)
    cells = {how: summary for how, seconds in samples.items() if (summary := Summary.of(seconds))}
    return Report(
        "flood",
        {
            "nodes": options.nodes,
            "repeats": options.repeats,
            "rate": options.rate,
            "seed": options.seed,
            "cores": os.cpu_count(),
            "load_before": round(load[0], 2),
            "load_after": round(os.getloadavg()[0], 2),
        },
        {"seconds": samples, "sent_per_second": rates},
        [at_most("slowdown of the median detection", 10.0, round(slower, 1), "%")],
        [Row("kill -9 to dead at every other member", "s", cells)],
        [
            "each pool meets one death; pools with and without the flood take turns",
            f"the flood: pings forged in a member's name, {statistics.mean(rates):.0f} a second in fact",
        ],
    )


async def _measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], list[float]]:
    chance = random.Random(options.seed)
    samples: dict[str, list[float]] = {QUIET: [], FLOODED: []}
    rates: list[float] = []
    for number in range(2 * options.repeats):
        how = (QUIET, FLOODED)[number % 2]
        try:
            seconds, rate = await _one(options, chance, how == FLOODED)
        except (AgentError, NeverSeen) as error:
            raise MeshError(f"a pool came to nothing: {error}") from error
        samples[how].append(seconds)
        rates += [rate] if rate else []
    return samples, rates


async def _one(options: argparse.Namespace, chance: random.Random, flooded: bool) -> tuple[float, float]:
    """Seconds from the kill to everybody's knowing, in a pool of its own; and what was sent a second."""
    with Lab() as lab:
        hosts = lab.hosts(options.nodes)
        agents = [MeshSystem().start(host) for host in hosts]
        await until_up(agents)
        await join_all(agents, Settings(options.nodes, 0.1, 0.0, 0.0, 60.0, None))
        flood = _begin(lab.host("eve"), agents, options.rate) if flooded else None
        await trio.sleep(SETTLE_SECONDS)
        victim = chance.choice(agents)
        others = [agent for agent in agents if agent is not victim]
        killed = time.monotonic()
        victim.process.kill()
        seen = await until_all(others, lambda _, view: view.get(victim.name) == "dead", killed, 0.05, 60.0)
        return seen.seconds, await _end(flood)


def _begin(eve: Host, agents: Sequence[MeshAgent], rate: int) -> Any:
    """Let the host pour; its standard input ends it."""
    where = [agent.status()["self"]["address"] for agent in agents]
    status = agents[0].status()
    arguments = {"targets": where, "rate": rate, "pool": status["pool"]["id"], "sender": status["self"]["id"]}
    command = [sys.executable, "-m", "tests.lab.hostile", "pour", json.dumps(arguments)]
    return eve.popen(command, stdout=subprocess.PIPE, PYTHONPATH=ROOT)


async def _end(flood: Any) -> float:
    """Datagrams a second that it sent in fact; 0 where there was none."""
    if flood is None:
        return 0.0
    flood.terminate()
    printed = await in_thread(flood.stdout.read)
    return float(json.loads(printed)["rate"])

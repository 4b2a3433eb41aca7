"""``join``: everybody joins at once; until every member holds every other alive."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from simulations.measures.branches import each_in_branch
from simulations.measures.measurement import Goal, Measurement, tail_goal
from simulations.measures.percentiles import summary
from simulations.measures.ready_pool import alive_count
from simulations.measures.trials import TrialPlan
from simulations.world import Host, World

LIMIT = 60.0
WINDOW = 0.1
"""Seconds in which all the processes start."""
LONG = 10.0
"""Seconds; a longer join is a stall."""


def mass_join(plan: TrialPlan, seed: int, loss: float = 0.0) -> float:
    """Seconds from the first start until all members hold all others alive."""
    world = World(seed, plan.settings)
    world.network.loss = loss
    founder = world.add(world.random.randrange(1, 1000))
    world.found(founder)
    world.run(1.0 + world.random.random())
    joiners = [world.add(world.random.randrange(1, 1000)) for _ in range(plan.nodes - 1)]
    since = world.now
    for host in joiners:
        world.at(since + WINDOW * world.random.random(), _joining(world, host, founder))
    world.run(WINDOW)
    waiting = dict.fromkeys(range(plan.nodes))

    def complete() -> bool:
        for number in list(waiting):
            if alive_count(world.hosts[number]) < plan.nodes:
                return False
            del waiting[number]
        return True

    if not world.run_until(complete, LIMIT, 0.02):
        return LIMIT
    return world.now - since


def _joining(world: World, host: Host, founder: Host) -> Callable[[], None]:
    return lambda: world.join(host, founder)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams lost everywhere")


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    measurement = Measurement("join", {**plan.parameters(), "loss": options.loss, "window": WINDOW})
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    seconds = list(each_in_branch(lambda seed: mass_join(plan, seed, options.loss), seeds, plan.jobs))
    measurement.results["all know all"] = {
        **summary(seconds),
        "longer than 10 s": sum(each > LONG for each in seconds),
        "slowest seeds": [seed for _, seed in sorted(zip(seconds, seeds, strict=True))[-3:]],
        "samples": sorted(round(each, 3) for each in seconds),
    }
    what = f"mass join, n={plan.nodes}"
    measurement.goals += [
        tail_goal(what, 3.0, seconds),
        Goal(
            f"{what}: longer than {LONG:g} s, of {len(seconds)}", 0, sum(s > LONG for s in seconds), "repeats"
        ),
    ]
    return measurement

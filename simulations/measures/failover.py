"""``failover``: from the leader's end until all live members know one new leader."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from mesh.protocol.base.effects import Event, LeaderChanged
from simulations.measures import theory
from simulations.measures.crash_detection import KINDS, SILENT
from simulations.measures.measurement import Goal, Measurement, median_goal, tail_goal
from simulations.measures.percentiles import summary
from simulations.measures.ready_pool import leader_of, one_leader
from simulations.measures.trials import TrialPlan, repeat
from simulations.world import Host, World

LIMIT = 60.0
STABLE = 10.0
_SMALL = 100


@dataclass(frozen=True, slots=True)
class Failover:
    """Seconds until every member knew one leader, and how often a member followed another after that."""

    seconds: float
    flaps: int


def failover(world: World, kind: str) -> Failover:
    """End the leader, and measure what follows."""
    leader = leader_of(world)
    since = world.now
    changed, told = since, 0

    def observe(world: World, host: Host, event: Event) -> None:
        nonlocal changed, told
        if isinstance(event, LeaderChanged):
            changed = world.now
            told += 1

    world.observers.append(observe)
    world.crash(leader, silent=kind == SILENT)
    if not world.run_until(lambda: one_leader(world), LIMIT, 0.01):
        return Failover(LIMIT, 0)
    settled, told = changed, 0
    world.run(STABLE)
    return Failover(settled - since, told)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kinds", default="silent,process", help="how the leader ends: silent, process")


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    measurement = Measurement("failover", {**plan.parameters(), "kinds": options.kinds.split(",")})
    for kind in (KINDS[name] for name in options.kinds.split(",")):
        trials = repeat(plan, lambda world, kind=kind: failover(world, kind))  # type: ignore[misc]
        seconds = [trial.seconds for trial in trials]
        known = theory.silent_crash_known if kind == SILENT else theory.dead_process_known
        measurement.results[kind] = {
            **summary(seconds),
            "limit_median": round(known(0.5, plan.nodes, plan.settings), 3),
            "limit_p99": round(known(0.99, plan.nodes, plan.settings), 3),
            "samples": sorted(round(each, 3) for each in seconds),
        }
        flaps = sum(bool(trial.flaps) for trial in trials)
        if plan.nodes <= _SMALL:
            what = f"leader's {kind}: one leader known everywhere, n={plan.nodes}"
            measurement.goals += [median_goal(what, 3.0, seconds), tail_goal(what, 6.0, seconds)]
        measurement.goals.append(Goal(f"leader's {kind}: repeats with a later change", 0, flaps, "repeats"))
    return measurement

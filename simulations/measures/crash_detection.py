"""``detect``: from a member's crash until every live member holds it dead, and troubles that are no death."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from simulations.measures import theory, troubles
from simulations.measures.measurement import Goal, Measurement, median_goal, tail_goal
from simulations.measures.percentiles import summary
from simulations.measures.state_watch import DeathWatch
from simulations.measures.trials import TrialPlan, repeat
from simulations.world import World

LIMIT = 60.0
SILENT, DEAD_PROCESS = "silent machine", "dead process"
KINDS = {"silent": SILENT, "process": DEAD_PROCESS}
_SMALL = 200


@dataclass(frozen=True, slots=True)
class Crash:
    """Seconds from the crash until the first and the last live member held it dead; ``missed``: never did."""

    first: float
    last: float
    missed: int


def crash(world: World, kind: str) -> Crash:
    """One member, chosen at random, crashes."""
    victim = world.hosts[world.random.randrange(len(world.hosts))]
    since = world.now
    known = DeathWatch(world, victim.id)
    world.crash(victim, silent=kind == SILENT)
    others = len(world.running())
    world.run_until(lambda: len(known.at) == others, LIMIT, 0.1)
    times = [at - since for at in known.at.values()] or [LIMIT]
    missed = others - len(known.at)
    return Crash(min(times), LIMIT if missed else max(times), missed)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kinds",
        default="silent,process,pause,one-way,full-link",
        help="which faults, of: silent, process, pause, one-way, full-link",
    )


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    kinds = options.kinds.split(",")
    measurement = Measurement("detect", {**plan.parameters(), "kinds": kinds})
    for name in kinds:
        if name in KINDS:
            _crashes(plan, KINDS[name], measurement)
    if "pause" in kinds:
        troubles.pauses(plan, measurement)
    if "one-way" in kinds:
        troubles.one_way(plan, measurement)
    if "full-link" in kinds:
        troubles.full_links(plan, measurement)
    return measurement


def _crashes(plan: TrialPlan, kind: str, measurement: Measurement) -> None:
    trials = repeat(plan, lambda world: crash(world, kind))
    last = [trial.last for trial in trials]
    limit = theory.silent_crash_known if kind == SILENT else theory.dead_process_known
    measurement.results[kind] = {
        **summary(last),
        "limit_median": round(limit(0.5, plan.nodes, plan.settings), 3),
        "limit_p99": round(limit(0.99, plan.nodes, plan.settings), 3),
        "first_probe_median": round(theory.first_probe(0.5, plan.nodes, plan.settings), 3),
        "samples": sorted(round(each, 3) for each in last),
    }
    measurement.results[f"{kind}, first to know"] = summary([trial.first for trial in trials])
    median, tail = _goals(kind, plan.nodes)
    what = f"{kind} known everywhere, n={plan.nodes}"
    measurement.goals += [median_goal(what, median, last), tail_goal(what, tail, last)]
    measurement.goals.append(
        Goal(f"{kind} never noticed by some within {LIMIT:g} s", 0, sum(t.missed for t in trials), "members")
    )


def _goals(kind: str, nodes: int) -> tuple[float, float]:
    if nodes > _SMALL:
        return (4.0, 6.0)
    return (2.0, 3.5) if kind == SILENT else (1.0, 2.0)

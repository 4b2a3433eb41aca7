"""``detect``: from a member's crash until every live member holds it dead, and troubles that are no death."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from simulations.measures import theory, troubles
from simulations.measures.estimates import summary
from simulations.measures.lab import Lab
from simulations.measures.outcome import Goal, Outcome, median_goal, tail_goal
from simulations.measures.repeats import Plan, repeat
from simulations.measures.watch import Known

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


def crash(world: Lab, kind: str) -> Crash:
    """One member, chosen at random, crashes."""
    victim = world.hosts[world.random.randrange(len(world.hosts))]
    since = world.now
    known = Known(world, victim.id)
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


def measure(plan: Plan, options: argparse.Namespace) -> Outcome:
    kinds = options.kinds.split(",")
    outcome = Outcome("detect", {**plan.parameters(), "kinds": kinds})
    for name in kinds:
        if name in KINDS:
            _crashes(plan, KINDS[name], outcome)
    if "pause" in kinds:
        troubles.pauses(plan, outcome)
    if "one-way" in kinds:
        troubles.one_way(plan, outcome)
    if "full-link" in kinds:
        troubles.full_links(plan, outcome)
    return outcome


def _crashes(plan: Plan, kind: str, outcome: Outcome) -> None:
    trials = repeat(plan, lambda world: crash(world, kind))
    last = [trial.last for trial in trials]
    limit = theory.silent_crash_known if kind == SILENT else theory.dead_process_known
    outcome.results[kind] = {
        **summary(last),
        "limit_median": round(limit(0.5, plan.nodes, plan.settings), 3),
        "limit_p99": round(limit(0.99, plan.nodes, plan.settings), 3),
        "first_probe_median": round(theory.first_probe(0.5, plan.nodes, plan.settings), 3),
        "samples": sorted(round(each, 3) for each in last),
    }
    outcome.results[f"{kind}, first to know"] = summary([trial.first for trial in trials])
    median, tail = _goals(kind, plan.nodes)
    what = f"{kind} known everywhere, n={plan.nodes}"
    outcome.goals += [median_goal(what, median, last), tail_goal(what, tail, last)]
    outcome.goals.append(
        Goal(f"{kind} never noticed by some within {LIMIT:g} s", 0, sum(t.missed for t in trials), "members")
    )


def _goals(kind: str, nodes: int) -> tuple[float, float]:
    if nodes > _SMALL:
        return (4.0, 6.0)
    return (2.0, 3.5) if kind == SILENT else (1.0, 2.0)

"""``idle``: what a member sends while nothing happens."""

from __future__ import annotations

import argparse

from simulations.measures import theory
from simulations.measures.branches import in_branch
from simulations.measures.measurement import Goal, Measurement
from simulations.measures.percentiles import percentile
from simulations.measures.ready_pool import ready
from simulations.measures.trials import TrialPlan

FULL = 100
SETTLING = 5.0
_GOALS = ((100, 1000.0), (1000, 1500.0), (10_000, 2500.0))


def sent(plan: TrialPlan, full: int, seconds: float) -> list[float]:
    """Bytes a second that each full member sent."""
    world = ready(plan.nodes, plan.first_seed, plan.settings, full)
    world.run(SETTLING)
    before = dict(world.bytes_sent)
    world.run(seconds)
    return [
        (world.bytes_sent[host.number] - before.get(host.number, 0)) / seconds for host in world.running()
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated time that is measured")
    parser.add_argument(
        "--full",
        type=int,
        default=None,
        help=f"members that are whole; beyond 1000 {FULL}, the rest only answers",
    )


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    full = options.full or (plan.nodes if plan.nodes <= 1000 else FULL)
    measurement = Measurement("idle", {"nodes": plan.nodes, "full": full, "seconds": options.seconds})
    rates = in_branch(lambda: sent(plan, full, options.seconds))
    mean = sum(rates) / len(rates)
    measurement.results["bytes a second and member"] = {
        "members": len(rates),
        "mean": round(mean, 1),
        "median": round(percentile(rates, 0.5), 1),
        "maximum": round(max(rates), 1),
        "probing_alone": round(theory.probe_bytes(plan.settings), 1),
    }
    goal = next((goal for size, goal in _GOALS if plan.nodes <= size), _GOALS[-1][1])
    measurement.goals.append(
        Goal(f"sent by the busiest member, n={plan.nodes}", goal, round(max(rates), 1), "B/s")
    )
    return measurement

"""``throughput``: how fast the simulator is on one core."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time

from simulations import chaos_commands
from simulations.measures.branches import in_branch
from simulations.measures.outcome import Goal, Outcome
from simulations.measures.pool import ready
from simulations.measures.repeats import Plan


def speed(plan: Plan, nodes: int, seconds: float) -> dict[str, float]:
    """Events a second and simulated seconds a second of a pool at rest; and what it took to build it."""
    started = time.process_time()
    world = ready(nodes, plan.first_seed, plan.settings)
    built = time.process_time()
    before = world.events
    world.run(seconds)
    spent = time.process_time() - built
    return {
        "events_per_second": round((world.events - before) / spent),
        "times_real_time": round(seconds / spent, 2),
        "seconds_to_build": round(built - started, 2),
    }


def chaos_seeds_per_hour(seeds: int, first_seed: int) -> float:
    """Chaos runs of the usual size, in an hour of one core."""
    parser = argparse.ArgumentParser()
    chaos_commands.register(parser.add_subparsers(dest="command"))
    options = parser.parse_args(["chaos", "--seeds", str(seeds), "--first-seed", str(first_seed), "--json"])
    told = io.StringIO()
    started = time.process_time()
    with contextlib.redirect_stdout(told):
        options.run(options)
    spent = time.process_time() - started
    json.loads(told.getvalue())
    return 3600 * seeds / spent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated time that is measured")


def measure(plan: Plan, options: argparse.Namespace) -> Outcome:
    """``--nodes`` is the large pool; ``--seeds`` the number of chaos runs."""
    outcome = Outcome("throughput", {**plan.parameters(), "seconds": options.seconds})
    small = in_branch(lambda: speed(plan, min(100, plan.nodes), options.seconds))
    large = in_branch(lambda: speed(plan, plan.nodes, options.seconds))
    seeds = in_branch(lambda: chaos_seeds_per_hour(plan.seeds, plan.first_seed))
    outcome.results = {
        f"n={min(100, plan.nodes)}": small,
        f"n={plan.nodes}": large,
        "chaos seeds an hour": round(seeds),
    }
    outcome.goals = [
        Goal(
            f"protocol events, n={min(100, plan.nodes)}",
            1e5,
            small["events_per_second"],
            "1/s and core",
            at_least=True,
        ),
        Goal(f"n={plan.nodes}", 8.0, large["times_real_time"], "x real time", at_least=True),
        Goal(f"chaos seeds, of {plan.seeds}", 5000, round(seeds), "1/h and core", at_least=True),
    ]
    return outcome

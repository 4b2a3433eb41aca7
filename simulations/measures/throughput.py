"""``throughput``: how fast the simulator is on one core."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import time

from simulations import chaos_commands
from simulations.measures.branches import in_branch
from simulations.measures.measurement import Goal, Measurement
from simulations.measures.ready_pool import ready
from simulations.measures.trials import TrialPlan


def speed(plan: TrialPlan, nodes: int, seconds: float) -> dict[str, float]:
    """Events and simulated seconds, by a second of one core and by the clock, of a pool at rest.

    Also the cost of building it: CPU seconds, and MiB of memory at most.
    """
    started = time.process_time()
    world = ready(nodes, plan.first_seed, plan.settings)
    built, clock = time.process_time(), time.perf_counter()
    before = world.events
    world.run(seconds)
    spent, passed = time.process_time() - built, time.perf_counter() - clock
    events = world.events - before
    return {
        "events_per_cpu_second": round(events / spent),
        "times_real_time": round(seconds / spent, 2),
        "events_per_wall_second": round(events / passed),
        "times_real_time_by_the_clock": round(seconds / passed, 2),
        "cpu_seconds_to_build": round(built - started, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def chaos_speed(seeds: int, first_seed: int) -> dict[str, float]:
    """Chaos runs of the usual size: seeds an hour and events a second, of one core and by the clock."""
    parser = argparse.ArgumentParser()
    chaos_commands.register(parser.add_subparsers(dest="command"))
    options = parser.parse_args(["chaos", "--seeds", str(seeds), "--first-seed", str(first_seed), "--json"])
    told = io.StringIO()
    started, clock = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(told):
        options.run(options)
    spent, passed = time.process_time() - started, time.perf_counter() - clock
    events = json.loads(told.getvalue())["results"]["events"]
    return {
        "events_per_cpu_second": round(events / spent),
        "seeds_per_cpu_hour": round(3600 * seeds / spent),
        "seeds_per_wall_hour": round(3600 * seeds / passed),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated time that is measured")


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    """``--nodes`` is the large pool; ``--seeds`` the number of chaos runs."""
    measurement = Measurement("throughput", {**plan.parameters(), "seconds": options.seconds})
    small = in_branch(lambda: speed(plan, min(100, plan.nodes), options.seconds))
    large = in_branch(lambda: speed(plan, plan.nodes, options.seconds))
    chaos = in_branch(lambda: chaos_speed(plan.seeds, plan.first_seed))
    measurement.results = {
        f"n={min(100, plan.nodes)}": small,
        f"n={plan.nodes}": large,
        "chaos": chaos,
    }
    measurement.goals = [
        Goal(
            f"protocol events, n={min(100, plan.nodes)}",
            1e5,
            small["events_per_cpu_second"],
            "1/s and core",
            at_least=True,
        ),
        Goal(f"n={plan.nodes}", 8.0, large["times_real_time"], "x real time", at_least=True),
        Goal(
            f"chaos seeds, of {plan.seeds}", 5000, chaos["seeds_per_cpu_hour"], "1/h and core", at_least=True
        ),
    ]
    return measurement

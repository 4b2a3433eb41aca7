"""``chaos`` and ``replay``: the commands that let random faults strike and judge what they did."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from simulations.chaos import Chaos, Outcome


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these commands; each sets ``run``, which takes the options and returns the exit code."""
    chaos = commands.add_parser("chaos", help="random faults from many seeds, judged by safety checkers")
    chaos.add_argument("--seeds", type=int, default=20, help="how many")
    chaos.add_argument("--first-seed", type=int, default=1)
    chaos.add_argument("--json", action="store_true", help="print one object")
    chaos.set_defaults(run=_chaos_command)
    replay = commands.add_parser("replay", help="one seed, with all that happened in it")
    replay.add_argument("seed", type=int)
    replay.set_defaults(run=_replay_command)
    for command in (chaos, replay):
        command.add_argument("--nodes", type=int, default=None, help="2 to 7 by the seed unless given")
        command.add_argument("--check", action="store_true", help="exit 1 when a property is violated")


def _chaos_command(options: argparse.Namespace) -> int:
    return _verdict(options, _chaos(options))


def _replay_command(options: argparse.Namespace) -> int:
    outcome = Chaos(options.seed, options.nodes, trace=print).run()
    print(_line(outcome))
    return _verdict(options, [outcome])


def _verdict(options: argparse.Namespace, outcomes: list[Outcome]) -> int:
    return 1 if options.check and any(outcome.violations for outcome in outcomes) else 0


def _chaos(options: argparse.Namespace) -> list[Outcome]:
    started = time.perf_counter()
    outcomes = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        outcomes.append(Chaos(seed, options.nodes).run())
        if not options.json and (outcomes[-1].violations or sys.stdout.isatty()):
            print(_line(outcomes[-1]))
    report = _report(options, outcomes, time.perf_counter() - started)
    if options.json:
        print(json.dumps(report))
    else:
        for goal in report["goals"]:
            print(f"{'ok  ' if goal['met'] else 'MISS'} {goal['what']}: {goal['measured']} {goal['unit']}")
        print(", ".join(f"{name} {value}" for name, value in report["results"].items() if name != "failed"))
    return outcomes


def _report(options: argparse.Namespace, outcomes: list[Outcome], elapsed: float) -> dict[str, Any]:
    healed = sorted(outcome.healed_after for outcome in outcomes if outcome.healed_after is not None)
    events = sum(outcome.events for outcome in outcomes)
    violations = sum(len(outcome.violations) for outcome in outcomes)
    return {
        "name": "chaos",
        "parameters": {"seeds": options.seeds, "first_seed": options.first_seed, "nodes": options.nodes},
        "results": {
            "events": events,
            "seconds": round(elapsed, 3),
            "events_per_second": round(events / elapsed) if elapsed else 0,
            "seeds_per_hour": round(3600 * len(outcomes) / elapsed) if elapsed else 0,
            "healed_median_seconds": round(healed[len(healed) // 2], 3) if healed else None,
            "healed_worst_seconds": round(healed[-1], 3) if healed else None,
            "failed": [
                {"seed": outcome.seed, "violations": outcome.violations}
                for outcome in outcomes
                if outcome.violations
            ],
        },
        "goals": [
            {
                "what": "violated properties",
                "goal": 0,
                "measured": violations,
                "unit": "violations",
                "met": violations == 0,
            }
        ],
    }


def _line(outcome: Outcome) -> str:
    healed = "never" if outcome.healed_after is None else f"after {outcome.healed_after:.1f} s"
    lines = [f"seed {outcome.seed}: {outcome.nodes} nodes, {outcome.events} events, healed {healed}"]
    return "\n  ".join(lines + outcome.violations)

"""``chaos``, ``replay``, ``shrink`` and ``mutants``: the commands that stress the protocol and judge it."""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simulations import mutants
from simulations.chaos import CURVES_EVERY, Chaos, ChaosOutcome, ChaosPlan, plan
from simulations.schedule import FAMILIES
from simulations.shrink import checker_of, fails, shrink

_CHUNK = 4
_USUAL_MINUTES = 10.0
_FASTEST = 5000
"""Seeds of the usual size an hour of one core; other sizes take other times."""
_JUDGED, _ENOUGH_ROUNDS = 0.9, 40
"""The least share of rounds that must be judged to their end, and from how many rounds that means anything.

Most rounds are. A change that ended nearly every round early, so that nothing was judged, would show here.
"""
_TWICE_EVERY = 50
"""Every so many seeds run twice: equal seeds must give equal traces."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these commands; each sets ``run``, which takes the options and returns the exit code."""
    chaos = commands.add_parser("chaos", help="random faults from many seeds, judged by checkers")
    chaos.add_argument("--seeds", type=int, default=20, help="how many (default 20)")
    chaos.add_argument("--first-seed", type=int, default=1)
    chaos.add_argument(
        "--family", choices=sorted(FAMILIES), default=None, help="only seeds that draw this family of faults"
    )
    chaos.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    chaos.set_defaults(run=_chaos_command)
    replay = commands.add_parser("replay", help="one seed, with all that happened in it")
    replay.add_argument("seed", type=int)
    replay.add_argument("--only", type=_numbers, default=None, help="these faults alone: 3,7-9")
    replay.add_argument("--faults", action="store_true", help="list the schedule with its numbers, and stop")
    replay.set_defaults(run=_replay_command)
    smaller = commands.add_parser("shrink", help="the few faults of a failing seed that make it fail")
    smaller.add_argument("seed", type=int)
    smaller.add_argument("--most", type=int, default=200, help="runs at most (default 200)")
    smaller.set_defaults(run=_shrink_command)
    mutate = commands.add_parser("mutants", help="the protocol broken on purpose: some seed must fail")
    mutate.add_argument("--seeds", type=int, default=600, help="at most so many for each (default 600)")
    mutate.add_argument("--first-seed", type=int, default=1)
    mutate.add_argument("--only", default="", help="names of mutants, with commas between")
    mutate.set_defaults(run=_mutants_command)
    for command in (chaos, replay, smaller, mutate):
        command.add_argument("--nodes", type=int, default=None, help="hosts; 5 to 9 by the seed unless given")
        # A mutant shows in its first storm or not at all: many short seeds find it sooner than few long ones.
        minutes = 2.5 if command is mutate else _USUAL_MINUTES
        command.add_argument(
            "--minutes", type=float, default=minutes, help=f"simulated, a seed (default {minutes:g})"
        )
        command.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
        command.add_argument("--json", action="store_true", help="print one object")


def _numbers(text: str) -> frozenset[int]:
    numbers: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


# --- chaos


def _run(task: tuple[int, int | None, float]) -> ChaosOutcome:
    seed, nodes, minutes = task
    started = time.process_time()
    try:
        outcome = Chaos(plan(seed, nodes, minutes)).run()
        if seed % _TWICE_EVERY == 0 and seed % CURVES_EVERY != 0:
            again = Chaos(plan(seed, nodes, minutes)).run()
            if again.digest != outcome.digest:
                outcome.violations.append(f"0.000 repeat: trace {outcome.digest}, then {again.digest}")
    except Exception as error:
        outcome = ChaosOutcome(seed, nodes or 0)
        outcome.violations.append(f"0.000 crash: {type(error).__name__}: {error}")
    outcome.cpu_seconds = time.process_time() - started
    return outcome


def _outcomes(options: argparse.Namespace) -> Iterator[ChaosOutcome]:
    tasks = [(seed, options.nodes, options.minutes) for seed in _seeds(options)]
    if options.jobs <= 1:
        yield from map(_run, tasks)
        return
    with multiprocessing.Pool(options.jobs) as pool:
        yield from pool.imap_unordered(_run, tasks, chunksize=_CHUNK)


def _seeds(options: argparse.Namespace) -> list[int]:
    """So many seeds from the first on, those alone that draw the wanted family."""
    numbers = itertools.count(options.first_seed)
    wanted = options.family
    drawn = (n for n in numbers if wanted is None or wanted in plan(n, options.nodes, 2.5).families)
    return list(itertools.islice(drawn, options.seeds))


def _chaos_command(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    outcomes = []
    for outcome in _outcomes(options):
        outcomes.append(outcome)
        if not options.json and (outcome.violations or sys.stdout.isatty()):
            print(_line(outcome), flush=True)
            if outcome.violations:
                print(_replay_line(options, outcome.seed), flush=True)
    report = _report(options, outcomes, time.perf_counter() - started)
    _print(options, report)
    return _code(options, report)


def _code(options: argparse.Namespace, report: dict[str, Any]) -> int:
    """0 when it ran, whatever it measured; 1 with ``--check`` when a goal is missed."""
    return 1 if options.check and not all(goal["met"] for goal in report["goals"]) else 0


def _print(options: argparse.Namespace, report: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(report))
        return
    for goal in report["goals"]:
        print(f"{'ok  ' if goal['met'] else 'MISS'} {goal['what']}: {goal['measured']} {goal['unit']}")
    shown = (f"{name} {value}" for name, value in report["results"].items() if not isinstance(value, list))
    print(", ".join(shown))


def _report(options: argparse.Namespace, outcomes: list[ChaosOutcome], elapsed: float) -> dict[str, Any]:
    events = sum(outcome.events for outcome in outcomes)
    failed = sorted((outcome for outcome in outcomes if outcome.violations), key=lambda outcome: outcome.seed)
    cpu = sum(outcome.cpu_seconds for outcome in outcomes)
    rate = 3600 * len(outcomes) / cpu if cpu else 0.0
    rounds = _rounds(outcomes)
    return {
        "name": "chaos",
        "parameters": {
            "seeds": options.seeds,
            "first_seed": options.first_seed,
            "family": options.family,
            "nodes": options.nodes,
            "minutes": options.minutes,
            "jobs": options.jobs,
        },
        "results": {
            "events": events,
            "seconds": round(elapsed, 3),
            "events_per_second": round(events / elapsed) if elapsed else 0,
            "cpu_seconds": round(cpu, 3),
            "seeds_per_cpu_hour": round(rate),
            **rounds,
            **_spread("agreed", [seconds for outcome in outcomes for seconds in outcome.agreed_after]),
            **_spread("served", [seconds for outcome in outcomes for seconds in outcome.served_after]),
            "failed": [{"seed": outcome.seed, "violations": outcome.violations} for outcome in failed],
        },
        "goals": [
            _goal("seeds with a violated property", 0, len(failed), "seeds", not failed),
            *_goals_of_the_usual_size(options, rate, rounds),
        ],
    }


def _goals_of_the_usual_size(
    options: argparse.Namespace, rate: float, rounds: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Pools of another size take another time, and small ones often have no core that could serve."""
    if options.nodes is not None:
        return
    if options.minutes == _USUAL_MINUTES:
        what = "chaos seeds an hour of one core, at least"
        yield _goal(what, _FASTEST, round(rate), "seeds/h", rate >= _FASTEST)
    if rounds["rounds"] >= _ENOUGH_ROUNDS:
        share = rounds["calm_rounds"] / rounds["rounds"]
        what = "rounds that were judged to the end, share at least"
        yield _goal(what, _JUDGED, round(share, 3), "of all", share >= _JUDGED)


def _rounds(outcomes: list[ChaosOutcome]) -> dict[str, int]:
    """How far rounds were judged: a core that cannot serve, or has no honest host, ends a round early."""
    return {
        "rounds": sum(outcome.rounds for outcome in outcomes),
        "agreed_rounds": sum(len(outcome.agreed_after) for outcome in outcomes),
        "served_rounds": sum(len(outcome.served_after) for outcome in outcomes),
        "calm_rounds": sum(outcome.calm for outcome in outcomes),
    }


def _spread(what: str, times: list[float]) -> dict[str, float | None]:
    times = sorted(times)
    if not times:
        return {f"{what}_median_seconds": None, f"{what}_p99_seconds": None, f"{what}_worst_seconds": None}
    return {
        f"{what}_median_seconds": round(times[len(times) // 2], 2),
        f"{what}_p99_seconds": round(times[min(len(times) - 1, len(times) * 99 // 100)], 2),
        f"{what}_worst_seconds": round(times[-1], 2),
    }


def _goal(what: str, goal: float, measured: float, unit: str, met: bool) -> dict[str, Any]:
    return {"what": what, "goal": goal, "measured": measured, "unit": unit, "met": met}


def _line(outcome: ChaosOutcome) -> str:
    line = f"seed {outcome.seed}: {outcome.nodes} nodes, {outcome.events} events, trace {outcome.digest}"
    return "\n  ".join([line, *outcome.violations])


def _replay_line(options: argparse.Namespace, seed: int) -> str:
    """The command that shows a seed of this run again."""
    nodes = "" if options.nodes is None else f" --nodes {options.nodes}"
    return f"  python -m simulations replay {seed} --minutes {options.minutes:g}{nodes}"


# --- one seed


def _replay_command(options: argparse.Namespace) -> int:
    made = plan(options.seed, options.nodes, options.minutes)
    if not options.json:
        print(f"families: {', '.join(made.families)}\n{made.settings}")
        print(f"programs: {', '.join(map(str, made.programs))}")
        for number, trait in enumerate(made.traits):
            print(f"host{number}: {trait}")
    outcome = None
    if not options.faults:
        outcome = Chaos(made, options.only, trace=None if options.json else print).run()
    numbers = range(len(made.every))
    kept = [number for number in numbers if options.only is None or number in options.only]
    report = _replayed(options, made, kept, outcome)
    if options.json:
        print(json.dumps(report))
    else:
        print(_listed(made, kept) if outcome is None else _line(outcome))
    return _code(options, report)


def _replayed(
    options: argparse.Namespace, made: ChaosPlan, kept: list[int], outcome: ChaosOutcome | None
) -> dict[str, Any]:
    """What became of these faults of the plan; only their list where nothing was run."""
    results: dict[str, Any] = {
        "families": list(made.families),
        "programs": [list(program.speaks) for program in made.programs],
        "faults": _texts(made, kept),
        "nodes": len(made.traits),
    }
    if outcome is not None:
        results |= {"events": outcome.events, "digest": outcome.digest, "violations": outcome.violations}
    return {
        "name": "replay",
        "parameters": {**_size(options), "only": None if options.only is None else kept},
        "results": results,
        "goals": [] if outcome is None else [_whole(outcome.violations)],
    }


def _shrink_command(options: argparse.Namespace) -> int:
    made = plan(options.seed, options.nodes, options.minutes)
    checkers = {checker_of(violation) for violation in Chaos(made).run().violations}
    if not checkers and not options.json:
        print(f"seed {options.seed} does not fail")
    kept: list[int] = []
    again, violations = "", list[str]()
    if checkers:
        tell: Callable[[str], object] = str if options.json else print
        kept = shrink(range(len(made.every)), fails(made, checkers), options.most, tell)
        outcome = Chaos(made, frozenset(kept)).run()
        again, violations = _replay_of(options, kept), outcome.violations
        if not options.json:
            print("\n".join([_listed(made, kept), _line(outcome), again]))
    report = {
        "name": "shrink",
        "parameters": {**_size(options), "most": options.most},
        "results": {
            "kept": kept,
            "faults": _texts(made, kept),
            "replay": again,
            "violations": violations,
        },
        "goals": [_whole(violations)],
    }
    if options.json:
        print(json.dumps(report))
    return _code(options, report)


def _size(options: argparse.Namespace) -> dict[str, Any]:
    return {"seed": options.seed, "nodes": options.nodes, "minutes": options.minutes}


def _whole(violations: list[str]) -> dict[str, Any]:
    return _goal("properties violated", 0, len(violations), "properties", not violations)


def _replay_of(options: argparse.Namespace, kept: list[int]) -> str:
    """The command that runs these faults alone."""
    nodes = f" --nodes {options.nodes}" if options.nodes else ""
    only = ",".join(map(str, kept))
    return f"python -m simulations replay {options.seed} --only '{only}' --minutes {options.minutes:g}{nodes}"


def _texts(made: ChaosPlan, kept: Sequence[int]) -> list[str]:
    """These faults with their times, as they are listed."""
    return [f"{made.every[number].at:.3f} {made.every[number]}" for number in kept]


def _listed(made: ChaosPlan, kept: Sequence[int]) -> str:
    """These faults a line, with the numbers that name them."""
    return "\n".join(f"{number:4} {made.every[number].at:8.3f} {made.every[number]}" for number in kept)


# --- mutants


def _mutants_command(options: argparse.Namespace) -> int:
    names = [name for name in options.only.split(",") if name] or list(mutants.MUTANTS)
    results = []
    for name in names:
        results.append(_hunt(name, options))
        if not options.json:
            result = results[-1]
            caught = f"seed {result['seed']}, {result['violation']}" if result["seed"] else "SURVIVED"
            print(f"{name}: {caught} ({result['seeds']} seeds)", flush=True)
    survivors = [result["mutant"] for result in results if not result["seed"]]
    report = {
        "name": "mutants",
        "parameters": {"seeds": options.seeds, "first_seed": options.first_seed, "minutes": options.minutes},
        "results": {"mutants": results, "survivors": survivors},
        "goals": [_goal("mutants that no checker caught", 0, len(survivors), "mutants", not survivors)],
    }
    _print(options, report)
    return _code(options, report)


def _hunt(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run seeds with the mutant until one fails that passes without it."""
    for tried, seed in enumerate(range(options.first_seed, options.first_seed + options.seeds), 1):
        with mutants.applied(name):
            outcome = _run((seed, options.nodes, options.minutes))
        found = next(filter(_is_judged, outcome.violations), None)
        if found and not _run((seed, options.nodes, options.minutes)).violations:
            return {"mutant": name, "seed": seed, "seeds": tried, "violation": found}
    return {"mutant": name, "seed": None, "seeds": options.seeds, "violation": ""}


def _is_judged(violation: str) -> bool:
    """Whether a checker or a transition table found it: a mutant that fits the code no more just crashes."""
    return checker_of(violation) != "crash" or "IllegalTransition" in violation

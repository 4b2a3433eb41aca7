"""``python -m tests.fuzz``: every decoder under a coverage-guided fuzzer (atheris), one after the other.

    uv sync --group fuzz                        # atheris has wheels for CPython 3.11 to 3.13 on Linux
    python -m tests.fuzz --runs 100000          # inputs for each harness
    python -m tests.fuzz --only node --minutes 5

What it finds is kept in the user's cache: the corpus, which the next run goes on from; inputs that a decoder
did not put up with; and how many inputs there were in all runs.
"""

import argparse
import importlib
import json
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mesh.engine.install.cache import cache_dir
from mesh.wire.errors import MeshError
from tests.fuzz.campaign import Turn, fuzz
from tests.fuzz.harness import Harness
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.tally import GOAL, Tally


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all went well; 1 after a crash, without atheris, or where ``--check`` misses the goal."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each harness (%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="at most, for each (%(default)s)")
    parser.add_argument("--only", action="append", choices=sorted(HARNESSES), help="these harnesses alone")
    parser.add_argument("--seed", type=int, help="of the fuzzer's dice; by default another each time")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--check", action="store_true", help=f"fail below {GOAL:,} inputs in all runs")
    options = parser.parse_args(arguments)
    try:
        require_atheris()
    except MeshError as error:
        print(error, file=sys.stderr)
        return 1
    cache = cache_dir() / "fuzz"
    tally = Tally(cache / "tally.json")
    harnesses = [HARNESSES[name] for name in options.only or HARNESSES]
    turns: list[Turn] = []
    try:
        turns.extend(
            take_turn(harness, cache, tally, options.runs, options.minutes * 60.0, options.seed)
            for harness in harnesses
        )
    except KeyboardInterrupt:
        return 130
    print(as_json(turns, tally) if options.json else "", end="")
    if not options.json:
        show(turns, tally)
    missed = options.check and tally.total < GOAL
    return int(missed or any(turn.crash for turn in turns))


def require_atheris() -> None:
    """MeshError where the fuzzer is not to be had: a run without it would prove much less than it seems."""
    try:
        importlib.import_module("atheris")
    except ImportError as error:
        raise MeshError(
            f"atheris, the fuzzer, cannot be imported by this Python {sys.version.split()[0]}: {error}",
            "uv sync --group fuzz (it has wheels for CPython 3.11 to 3.13 on Linux); the same harnesses run "
            "without guidance by coverage in pytest tests/fuzz",
        ) from error


def take_turn(
    harness: Harness, cache: Path, tally: Tally, runs: int, seconds: float, seed: int | None
) -> Turn:
    """Fuzz one decoder, count it, and say at once what was found."""
    chosen = secrets.randbelow(1 << 31) if seed is None else seed
    turn = fuzz(harness, cache / harness.name, runs, seconds, chosen)
    tally.add(harness.name, turn.inputs, bool(turn.crash))
    said = f"{turn.name}: {turn.inputs:,} inputs in {turn.seconds:.0f} s"
    print(said + (f"; {turn.crash} {turn.artifact}" if turn.crash else ""), file=sys.stderr)
    return turn


def as_json(turns: Sequence[Turn], tally: Tally) -> str:
    """One object with all there is to say."""
    told = {
        "turns": [asdict(turn) for turn in turns],
        "inputs": tally.inputs,
        "total": tally.total,
        "goal": GOAL,
    }
    return json.dumps(told, indent=1) + "\n"


def show(turns: Sequence[Turn], tally: Tally) -> None:
    """A table for people."""
    table = Table("harness", "decodes", box=None)
    for column in ("inputs", "a second", "coverage", "corpus", "peak MiB", "in all runs"):
        table.add_column(column, justify="right")
    table.add_column("found")
    for turn in turns:
        table.add_row(
            turn.name,
            HARNESSES[turn.name].decodes,
            f"{turn.inputs:,}",
            f"{turn.per_second:,.0f}",
            f"{turn.coverage:,}",
            f"{turn.corpus:,}",
            f"{turn.peak_mib:,}",
            f"{tally.inputs.get(turn.name, 0):,}",
            turn.crash or "nothing",
        )
    console = Console()
    console.print(table)
    console.print(f"{tally.total:,} inputs in all runs, of {GOAL:,}")


if __name__ == "__main__":
    # Ended by whatever, it takes its child along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())

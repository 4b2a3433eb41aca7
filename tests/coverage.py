"""``python -m tests.coverage``: the lines of the pure parts that their own unit tests do not run.

A line that no test runs either gets one, or its function stands in ``uncovered.txt`` with the reason. The
command fails when a part has less than its share, and when that list is not what was measured.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from coverage import Coverage

ROOT = Path(__file__).parents[1]
LISTED = ROOT / "tests" / "uncovered.txt"
LEAST_SHARE = 0.95
PURE = {
    "mesh/wire": ("tests/mesh/wire",),
    "mesh/protocol": ("tests/mesh/protocol",),
    "leader/placement": ("tests/leader/placement",),
    "leader/reconcile": ("tests/leader/reconcile",),
    "leader/llama/watchdog.py": ("tests/leader/llama/test_watchdog.py",),
    # How an answer goes on shows in the whole gateway, before a leader that follows a script.
    "mesh/gateway/resuming": (
        "tests/mesh/gateway/resuming",
        "tests/mesh/gateway/completions/test_resumable_completion.py",
    ),
    "mesh/copies/copy_policy.py": ("tests/mesh/copies/test_copy_policy.py",),
    "mesh/engine/process/restarts.py": ("tests/mesh/engine/process/test_restarts.py",),
    "mesh/net/pacing.py": ("tests/mesh/net/test_pacing.py",),
    "worker/greeting.py": ("tests/worker/test_greeting.py",),
}
"""Packages and modules without I/O, and the tests whose part they are."""


class Missed(NamedTuple):
    """A line that no test runs."""

    file: str
    function: str
    number: int
    text: str


class Measured(NamedTuple):
    """What became of a part."""

    part: str
    lines: int
    missed: list[Missed]

    @property
    def share(self) -> float:
        """The share of lines that were run."""
        return 1.0 - len(self.missed) / self.lines if self.lines else 1.0


class Function(NamedTuple):
    """A function of a file; that of a method begins with its class."""

    file: str
    name: str


def listed(text: str) -> dict[Function, int]:
    """How many lines of which functions are known: ``file | function | lines | reason``, # is a remark."""
    entries = {}
    for entry in text.splitlines():
        if entry.strip() and not entry.startswith("#"):
            file, function, lines, _ = (part.strip() for part in entry.split(" | "))
            entries[Function(file, function)] = int(lines)
    return entries


def complaints(parts: Iterable[Measured], known: Mapping[Function, int]) -> Iterator[str]:
    """What is wrong, a line each."""
    missed: dict[Function, list[Missed]] = {}
    for part in parts:
        if part.share < LEAST_SHARE:
            yield f"{part.part}: {part.share:.1%} of its lines are run, {LEAST_SHARE:.0%} are wanted"
        for line in part.missed:
            missed.setdefault(Function(line.file, line.function), []).append(line)
    for function, lines in missed.items():
        if len(lines) != known.get(function):
            for line in lines:
                yield f"run by no test: {line.file}:{line.number} {line.function}: {line.text}"
    for function in known.keys() - missed.keys():
        yield f"{LISTED.name} lists what is run by now, or gone: {function.file} | {function.name}"


def function_at(tree: ast.AST, line: int, within: str = "") -> str:
    """The innermost function or class around a line, with what it stands in; "" for none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                return function_at(node, line, f"{within}.{node.name}" if within else node.name)
            return function_at(node, line, within)
    return within


def _run_tests(data: Path) -> int:
    folders = {part if (ROOT / part).is_dir() else str(Path(part).parent) for part in PURE}
    tests = [test for part in PURE.values() for test in part]
    command = [
        *(sys.executable, "-m", "coverage", "run", f"--data-file={data}", f"--source={','.join(folders)}"),
        *("-m", "pytest", "-q", "-m", "unit", "--hypothesis-profile=same", *tests),
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _measured(coverage: Coverage, part: str) -> Measured:
    place = ROOT / part
    lines, missed = 0, []
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        source = path.read_text(encoding="utf-8")
        texts, tree, file = source.splitlines(), ast.parse(source), path.relative_to(ROOT).as_posix()
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        lines += len(statements)
        missed += [Missed(file, function_at(tree, line), line, texts[line - 1].strip()) for line in missing]
    return Measured(part, lines, missed)


def main() -> int:
    """Run the tests, print the table and what is wrong; 1 when anything is."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "coverage")
        if failed := _run_tests(data):
            return failed
        coverage = Coverage(data_file=data)
        coverage.load()
        parts = [_measured(coverage, part) for part in PURE]
    for part in parts:
        print(f"{part.share:7.1%}  {part.lines:5} lines  {len(part.missed):3} not run  {part.part}")
    wrong = sorted(complaints(parts, listed(LISTED.read_text(encoding="utf-8"))))
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

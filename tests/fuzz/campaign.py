"""One harness' turn: a child process with limits, and what it printed in the end."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.fuzz.harness import Harness

ROOT = Path(__file__).parents[2]
RSS_MIB = 768
"""A process with all of the program and the fuzzer's counters has about 200."""

HANG_SECONDS = 10
GRACE_SECONDS = 120.0
_LAST_COVERAGE = re.compile(r"\bcov: (\d+) ft: (\d+) corp: (\d+)")
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)
_PROGRESS = re.compile(r"^#(\d+)\s", re.MULTILINE)
_COMPLAINT = re.compile(
    r"^ *(?:=== Uncaught Python exception: ===\s*\n.*|.*ERROR: libFuzzer: .*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did. ``crash`` is why it ended early, empty where it did not; ``artifact`` its input."""

    name: str
    inputs: int
    coverage: int
    corpus: int
    per_second: int
    peak_mib: int
    seconds: float
    crash: str = ""
    artifact: str = ""


def flags(harness: Harness, folder: Path, runs: int, seconds: float, seed: int) -> list[str]:
    """libFuzzer's, for ``runs`` inputs or ``seconds``, whichever ends first."""
    return [
        f"-runs={runs}",
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={harness.max_len}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={RSS_MIB}",
        f"-artifact_prefix={folder / 'crashes'}/",
        f"-seed={seed}",
        "-print_final_stats=1",
        str(folder / "corpus"),
        str(folder / "seeds"),
    ]


def plant(harness: Harness, folder: Path) -> None:
    """Write the real encodings that the fuzzer begins with; what it found before stays beside them."""
    for name in ("corpus", "seeds", "crashes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for data in harness.corpus():
        (folder / "seeds" / sha256(data).hexdigest()[:16]).write_bytes(data)


def fuzz(
    harness: Harness,
    folder: Path,
    runs: int,
    seconds: float,
    seed: int,
    command: Sequence[str] = (sys.executable, "-m", "tests.fuzz.driver"),
    grace: float = GRACE_SECONDS,
) -> Turn:
    """Run one harness in a process of its own; ``folder`` keeps its corpus, its crashes and its log."""
    plant(harness, folder)
    began = time.monotonic()
    arguments = [*command, harness.name, *flags(harness, folder, runs, seconds, seed)]
    late = ""
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(arguments, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = child.wait(seconds + grace)
        except subprocess.TimeoutExpired:
            status, late = -1, f"did not end {grace:.0f} s after its time"
        finally:
            child.kill()
            child.wait()
    output = (folder / "log").read_text(errors="replace")
    return read_output(harness.name, output, status, time.monotonic() - began, late)


def read_output(name: str, output: str, status: int, seconds: float, late: str = "") -> Turn:
    """The turn that a child's output tells of."""
    statistics = {key: int(value) for key, value in _STATISTIC.findall(output)}
    progress = [int(number) for number in _PROGRESS.findall(output)]
    coverage = _LAST_COVERAGE.findall(output)
    inputs = statistics.get("number_of_executed_units", progress[-1] if progress else 0)
    artifact = re.search(r"Test unit written to (\S+)", output)
    return Turn(
        name=name,
        inputs=inputs,
        coverage=int(coverage[-1][0]) if coverage else 0,
        corpus=int(coverage[-1][2]) if coverage else 0,
        per_second=statistics.get("average_exec_per_sec", 0),
        peak_mib=statistics.get("peak_rss_mb", 0),
        seconds=round(seconds, 1),
        crash=late or _complaint(output, status),
        artifact=artifact[1] if artifact else "",
    )


def _complaint(output: str, status: int) -> str:
    if status == 0:
        return ""
    found = _COMPLAINT.search(output)
    if found is not None:
        return found[0].replace("=== Uncaught Python exception: ===", "").strip()[:200]
    lines = output.strip().splitlines()
    return f"exit code {status}: {lines[-1] if lines else 'it said nothing'}"[:200]

"""``python -m tests.oracle.search --minutes M``: look for files that the engine loads and ours refuses.

The same odd files as the test's, for longer and without a seed; the first that is wrong is kept and named.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings

from mesh.engine.install.cache import cache_dir
from mesh.wire.errors import MeshError
from tests.leader.model.gguf_bytes import GgufFile, read_gguf
from tests.oracle.build import Oracle, ensure_oracle
from tests.oracle.judge import Verdict, judge
from tests.oracle.odd_files import odd_files

_BATCH = 200
"""Examples between two looks at the clock."""


class WrongVerdict(AssertionError):
    """The engine takes a file that ours refuses."""

    def __init__(self, verdict: Verdict, told: str) -> None:
        super().__init__(f"{verdict.refusal}; the engine says: {verdict.said}; {told}")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.search", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one object")
    options = parser.parse_args(arguments)
    counted: Counter[str] = Counter()
    wrong = ""
    kept = cache_dir() / "oracle" / "wrong.gguf"
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "odd.gguf"
        try:
            oracle = trio.run(ensure_oracle, cache_dir())
            search(oracle, path, time.monotonic() + 60.0 * options.minutes, counted)
        except WrongVerdict as error:
            wrong = str(error)
            shutil.copyfile(path, kept)
        except MeshError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    told = {"files": counted["files"], "loaded by the engine": counted["accepted"], "wrong": wrong}
    if options.json:
        print(json.dumps(told))
    else:
        print(*(f"{name}: {value or 'none'}" for name, value in told.items()), sep="\n")
        print(f"the file is kept: {kept}" if wrong else "what the engine loads, ours reads")
    return int(bool(wrong))


def search(oracle: Oracle, path: Path, until: float, counted: Counter[str]) -> None:
    """Judge odd files written to ``path`` until the monotonic clock says ``until``. Raises WrongVerdict."""
    sound = [read_gguf(model) for model in sorted(oracle.models.glob("*.gguf"))]

    @settings(max_examples=_BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(file=odd_files(sound))
    def examine(file: GgufFile) -> None:
        verdict = judge(oracle, file.write(path))
        counted["files"] += 1
        counted["accepted"] += verdict.accepted
        if verdict.wrong:
            raise WrongVerdict(verdict, file.told)

    while time.monotonic() < until:
        examine()


if __name__ == "__main__":
    sys.exit(main())

"""How many inputs each harness has had in all runs so far, kept outside the tree."""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

GOAL = 10_000_000
"""Inputs in all, over all decoders."""


class Tally:
    """Inputs and crashes by harness; a damaged file counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.inputs: dict[str, int] = {}
        self.crashes: dict[str, int] = {}
        self._read()

    def _read(self) -> None:
        with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
            kept = json.loads(self._path.read_bytes())
            self.inputs = {str(name): int(count) for name, count in kept["inputs"].items()}
            self.crashes = {str(name): int(count) for name, count in kept["crashes"].items()}

    @property
    def total(self) -> int:
        return sum(self.inputs.values())

    def add(self, name: str, inputs: int, crashed: bool) -> None:
        """Count a turn, on the disk too, beside what other runs count meanwhile."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read()
            self.inputs[name] = self.inputs.get(name, 0) + inputs
            self.crashes[name] = self.crashes.get(name, 0) + crashed
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps({"inputs": self.inputs, "crashes": self.crashes}, indent=1))
            temporary.replace(self._path)

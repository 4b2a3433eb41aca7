"""The engine's own loader as a judge: does it take this file, and do we."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leader.model.gguf import read
from mesh.wire.errors import MeshError
from tests.oracle.build import Oracle

_SECONDS: Final = 60.0
_STATED: Final = (
    "more than the",  # MAX_TENSORS, MAX_PAIRS, MAX_PARTS, MAX_ALIGNMENT
    "a metadata key at byte",  # MAX_KEY
    "too much metadata",  # MAX_KEPT: all keys, short strings and lists of numbers together
    "the header goes on beyond byte",  # MAX_HEADER
    "cannot have",  # MAX_STRINGS: of all lists together
    "has the impossible shape",  # tensors of more elements than any disk has bytes
)
"""What we refuse though the engine might take it: words of the error, and the bound that it is."""


_MODEL = re.compile(r"^Host (\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What engine and reader say of a file; ``refusal`` is "" where the reader takes it."""

    accepted: bool
    refusal: str
    said: str
    """The engine's last words."""

    @property
    def mebibytes(self) -> int:
        """MiB of weights that the engine loads, all on the host; -1 where it loads none."""
        found = _MODEL.search(self.said)
        return int(found[1]) if found else -1

    @property
    def wrong(self) -> bool:
        """Whether the engine takes what the reader refuses beyond its stated bounds."""
        stated = any(bound in self.refusal for bound in _STATED)
        return self.accepted and bool(self.refusal) and not stated


def judge(oracle: Oracle, path: Path) -> Verdict:
    """Let both read ``path``, the engine without loading any weights."""
    try:
        read(path)
        refusal = ""
    except MeshError as error:
        refusal = error.message
    argv = [str(oracle.fit_params), "-m", str(path), "-fitp", "on", "-c", "64", "-ngl", "0"]
    done = subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False)
    said = (done.stderr + done.stdout).decode(errors="replace").strip()[-400:]
    return Verdict(done.returncode == 0, refusal, said)

"""Has a module of this program read something large, in a process of its own.

Python reads a large JSON text in one go, and no other thread runs meanwhile: 20 MB would hold up this node's
gossip for as long as it takes.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

import mesh

SMALL: Final = 64 << 10
"""Bytes that are read at once: 20 ms at worst, and 1 ms where nobody means ill."""
MAX_APART: Final = 2
"""Processes at a time."""
APART_SECONDS: Final = 30.0
"""Seconds that one may take, from when it is started."""

_PROGRAMS: Final = Path(mesh.__file__).parent.parent


class Apart:
    """Runs such processes, a bounded number at a time."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(MAX_APART)

    async def run(self, module: str, content: bytes) -> bytes | None:
        """What the module prints when it is given ``content``; None where it takes too much."""
        async with self._limiter:
            with trio.move_on_after(APART_SECONDS):
                done = await trio.run_process(
                    [sys.executable, "-S", "-m", module],
                    stdin=content,
                    capture_stdout=True,
                    stderr=subprocess.DEVNULL,
                    cwd=_PROGRAMS,
                    check=False,
                )
                return None if done.returncode else done.stdout
        return None

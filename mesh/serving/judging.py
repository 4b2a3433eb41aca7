"""Has a request judged: a small one at once, a large one in a process of its own.

Python reads a large JSON text in one go, and no other thread runs meanwhile: 20 MB would hold up this node's
gossip for as long as it takes.
"""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

import leader
from leader.door.orders import EngineFacts, Refused, Verdict
from leader.door.verdict import judge

SMALL: Final = 256 << 10
"""Bytes of a body that are judged at once: some milliseconds at worst."""
MAX_APART: Final = 2
"""Large bodies that are judged at a time."""
JUDGE_SECONDS: Final = 30.0
"""Seconds after which a body that is still being judged is refused."""

_PROGRAMS: Final = Path(leader.__file__).parent.parent


class Judging:
    """Judges requests, a bounded number of large ones at a time."""

    def __init__(self) -> None:
        self._apart = trio.CapacityLimiter(MAX_APART)

    async def judge(self, method: str, target: bytes, content: bytes, engine: EngineFacts) -> Verdict:
        """Say what becomes of a request; `leader.door.verdict.judge` decides."""
        if len(content) <= SMALL:
            return judge(method, target, content, engine)
        async with self._apart:
            with trio.move_on_after(JUDGE_SECONDS):
                return await _judge_apart(pickle.dumps((method, target, content, engine)))
        return Refused(413, "request_too_large", "the request takes too long to read")


async def _judge_apart(question: bytes) -> Verdict:
    done = await trio.run_process(
        [sys.executable, "-S", "-m", "leader.door"],
        stdin=question,
        capture_stdout=True,
        stderr=subprocess.DEVNULL,
        cwd=_PROGRAMS,
        check=False,
    )
    if done.returncode != 0:  # it ran out of memory, say
        return Refused(413, "request_too_large", "the request cannot be read")
    verdict: Verdict = pickle.loads(done.stdout)
    return verdict

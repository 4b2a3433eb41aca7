"""Reads what a gateway asks for that wants an answer taken up: a small one at once, a large one apart.

Python reads a large JSON text in one go, and no other thread runs meanwhile: this node's gossip would wait.
"""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

import mesh
from mesh.gateway.resuming.resume_request import MAX_RESUME_REQUEST, ResumeRequest, decode_resume_request

SMALL: Final = 256 << 10
"""Bytes that are read at once: some milliseconds at worst."""
MAX_APART: Final = 2
"""Large ones that are read at a time."""
READ_SECONDS: Final = 30.0
"""Seconds after which one that is still being read is refused."""

_PROGRAMS: Final = Path(mesh.__file__).parent.parent


class ResumeReading:
    """Reads such requests, a bounded number of large ones at a time."""

    def __init__(self) -> None:
        self._apart = trio.CapacityLimiter(MAX_APART)

    async def read(self, content: bytes) -> tuple[ResumeRequest, bytes]:
        """Return what is asked, and the client's request as it would have sent it, for the door to judge.

        Raises ``ValueError`` where it makes no sense.
        """
        if len(content) > MAX_RESUME_REQUEST:
            raise ValueError(f"the request has more than {MAX_RESUME_REQUEST} bytes")
        if len(content) <= SMALL:
            request = decode_resume_request(content)
            return request, request.question()
        async with self._apart:
            with trio.move_on_after(READ_SECONDS):
                return await _read_apart(content)
        raise ValueError("the request takes too long to read")


async def _read_apart(content: bytes) -> tuple[ResumeRequest, bytes]:
    done = await trio.run_process(
        [sys.executable, "-S", "-m", "mesh.serving.resume_reader"],
        stdin=content,
        capture_stdout=True,
        stderr=subprocess.DEVNULL,
        cwd=_PROGRAMS,
        check=False,
    )
    if done.returncode != 0:  # it ran out of memory or time, say
        raise ValueError("the request cannot be read")
    result: tuple[ResumeRequest, bytes] | str = pickle.loads(done.stdout)
    if isinstance(result, str):
        raise ValueError(result)
    return result

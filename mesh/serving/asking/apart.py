"""Has what others sent read in processes of their own, which no other task of this node waits for.

Python reads a JSON text in one go, and no other thread runs meanwhile: 20 MB, or a small grammar that means
ill, would hold up this node's gossip for as long as it takes.
"""

import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio

import mesh
from mesh.serving.asking.fair_gate import FairGate
from mesh.serving.asking.held_bodies import NoRoom
from mesh.serving.asking.reader import LENGTH

PROCESSES: Final = 2
"""Processes at a time, each started when it is first needed."""
APART_SECONDS: Final = 30.0
"""Seconds that one question may take."""

_PROGRAMS: Final = Path(mesh.__file__).parent.parent
_CHUNK: Final = 1 << 20


class TooMuch(Exception):
    """A question takes too much memory or time."""


class Apart:
    """The processes, in fair turns of members; no member has the last one too."""

    def __init__(self) -> None:
        self._gate = FairGate(PROCESSES, kept=1)
        self._idle: list[trio.Process] = []
        self._closed = False

    async def ask(self, member: str, name: str, *arguments: Any) -> Any:
        """The answer of `reader.READERS[name]` to a member's question.

        Raises `TooMuch`, `TooManyWaiting`, and `NoRoom` where this machine has no process to spare.
        """
        async with self._gate.place(member):
            try:
                process = self._idle.pop() if self._idle else await _start()
            except OSError as error:
                raise NoRoom from error
            try:
                with trio.move_on_after(APART_SECONDS):
                    answer = await _ask(process, pickle.dumps((name, arguments)))
                    if not self._closed:
                        self._idle.append(process)
                    return pickle.loads(answer)
            except (EOFError, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise TooMuch from error  # it ran out of memory, say
            finally:
                if process not in self._idle:
                    await _end(process)
        raise TooMuch

    async def aclose(self) -> None:
        """End the processes, those that are busy after what they do."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())


async def _start() -> trio.Process:
    return await trio.lowlevel.open_process(
        [sys.executable, "-S", "-m", "mesh.serving.asking.reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_PROGRAMS,
    )


async def _ask(process: trio.Process, question: bytes) -> bytes:
    assert process.stdin is not None
    await process.stdin.send_all(LENGTH.pack(len(question)) + question)
    (length,) = LENGTH.unpack(await _receive(process, LENGTH.size))
    return await _receive(process, length)


async def _receive(process: trio.Process, count: int) -> bytes:
    assert process.stdout is not None
    content = bytearray()
    while len(content) < count:
        piece = await process.stdout.receive_some(min(count - len(content), _CHUNK))
        if not piece:
            raise EOFError
        content += piece
    return bytes(content)


async def _end(process: trio.Process) -> None:
    """End it and close its pipes, whatever becomes of the caller."""
    with trio.CancelScope(shield=True):
        process.kill()
        await process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(trio.BrokenResourceError):
                    await pipe.aclose()

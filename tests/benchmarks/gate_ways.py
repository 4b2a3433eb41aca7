"""Ways to move a tunnel's bytes that were tried beside the program's own, for the gate's benchmark.

Each stands in for `mesh.net.bridge.Bridge`, as far as a tunnel and a gate need it to pass bytes at all.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import trio

from mesh.net.bridge import Bridge
from mesh.net.session import Session
from mesh.net.stream_ends import CHUNK, Plain

# Two threads that splice, in an interpreter that has nothing else to do.
_PUMP = """
import os, sys, threading
def move(source, sink):
    reader, writer = os.pipe()
    try:
        while count := os.splice(source, writer, 1 << 16):
            while count:
                count -= os.splice(reader, sink, count)
    except OSError:
        pass
    os._exit(0)
near, far = map(int, sys.argv[1:])
threading.Thread(target=move, args=(near, far)).start()
move(far, near)
"""


@dataclass
class Moved:
    """Bytes of one direction."""

    moved: int = 0


class LoopBridge:
    """Copied by the event loop: received and sent by trio's streams."""

    def __init__(self, near: Plain, far: Any, *_: Any, **__: Any) -> None:
        self.inward, self.outward = Moved(), Moved()
        _pass_pending(near, far)
        self._near = _in_loop(near)
        self._far = _in_loop(far) if isinstance(far, Plain) else far.stream
        self._scope = trio.CancelScope()

    def cut(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._move, self._far, self._near, self.inward)
                nursery.start_soon(self._move, self._near, self._far, self.outward)
        for stream in (self._near, self._far):
            await trio.aclose_forcefully(stream)

    async def _move(self, source: trio.abc.Stream, sink: trio.abc.Stream, moved: Moved) -> None:
        try:
            while data := await source.receive_some(CHUNK):
                await sink.send_all(data)
                moved.moved += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self._scope.cancel()


def _pass_pending(near: Plain, far: Any) -> None:
    """What came along with the end of TLS: a few bytes, for which there is room."""
    while isinstance(far, Plain) and far.pending:
        near.send(far.receive())


def _in_loop(end: Plain) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(end.socket))


@dataclass
class LoopEnd:
    """An end under TLS that stays with trio."""

    stream: Any


class ProcessBridge:
    """Handed to a process of its own."""

    def __init__(self, near: Plain, far: Plain, *_: Any, **__: Any) -> None:
        self.inward, self.outward = Moved(), Moved()
        _pass_pending(near, far)
        self._ends = near, far

    def cut(self) -> None:
        for end in self._ends:
            end.cut()

    async def run(self) -> None:
        descriptors = [end.socket.fileno() for end in self._ends]
        argv = [sys.executable, "-I", "-S", "-c", _PUMP, *map(str, descriptors)]
        pump = await trio.lowlevel.open_process(argv, pass_fds=descriptors, stdin=subprocess.DEVNULL)
        try:
            await pump.wait()
        finally:
            pump.kill()
            with trio.CancelScope(shield=True):
                await pump.wait()
            for end in self._ends:
                end.close()


@dataclass(frozen=True)
class Way:
    """``tls``: the bytes are encrypted; ``bridge`` is made in the place of the program's own."""

    tls: bool
    bridge: Callable[..., Any]
    in_loop: bool = False


WAYS = {
    "splice": Way(False, Bridge),
    "copy": Way(False, partial(Bridge, splice=False)),
    "loop": Way(False, LoopBridge, in_loop=True),
    "process": Way(False, ProcessBridge),
    "tls": Way(True, Bridge),
    "tls-loop": Way(True, LoopBridge, in_loop=True),
}
"""The program's own are ``splice`` where both ends trust the link (``copy`` where there is no splice), and
``tls``; ``loop`` and ``tls-loop`` are what trio's streams do."""


@contextmanager
def going(way: Way) -> Iterator[None]:
    """Gates and tunnels that are made in this context move their bytes that way."""
    with patch("worker.gate.Bridge", way.bridge), patch("leader.llama.tunnels.Bridge", way.bridge):
        if way.tls and way.in_loop:
            with patch.object(Session, "sealed", lambda session: LoopEnd(session.stream)):
                yield
        else:
            yield

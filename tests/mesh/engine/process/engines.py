"""A small program in place of an engine, confined and reached as one."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from mesh.engine.process.child import Process
from mesh.engine.process.reach import Reach, reach
from mesh.engine.sandbox.confinement import Confinement, environment
from mesh.engine.sandbox.isolation import Isolation, isolation

NO_CELLS = Isolation(False)
_NOTHING = Confinement()
CELLS = pytest.mark.skipif(not isolation().cells, reason=f"no cells: {isolation().why_no_cells}")

# It tells each of the sidecar's listeners its number, and each client the same word.
PROGRAM = """
import socket, sys
word, host, port, *endpoints = sys.argv[1:]
server = socket.create_server((host, int(port)), backlog=64)
clients = []
for number, endpoint in enumerate(endpoints):
    there, _, at = endpoint.rpartition(":")
    clients.append(socket.create_connection((there, int(at))))
    clients[-1].sendall(b"%d" % number)
while True:
    client, _ = server.accept()
    with client:
        client.sendall(word.encode())
"""
WORD = "the engine's word"


@dataclass
class Started:
    """A start of the program, and what it printed."""

    reach: Reach
    process: Process
    ended: trio.Event = field(default_factory=trio.Event)
    lines: list[str] = field(default_factory=list)

    async def run(self) -> None:
        try:
            await self.process.run(self.lines.append)
        finally:
            self.ended.set()


@asynccontextmanager
async def started(cells: bool, listeners: int = 0, wanted: Confinement = _NOTHING) -> AsyncIterator[Started]:
    """The program in its reach, ended afterwards."""
    machine = isolation() if cells else NO_CELLS
    made = reach(machine.applied(wanted, 0), cells, listeners)
    argv = [sys.executable, "-ISc", PROGRAM, WORD, made.host, str(made.port), *made.endpoints]
    try:
        process = Process(
            made.confinement.command(argv), environment=environment(os.environ), descriptors=made.descriptors
        )
        made.started(process.pid)
        run = Started(made, process)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.run)
            yield run
            nursery.cancel_scope.cancel()
    finally:
        made.close()


async def answer(stream: trio.abc.ReceiveStream) -> str:
    """All that comes until the end."""
    said = b""
    async for chunk in stream:
        said += chunk
    return said.decode()


async def connected(made: Reach) -> trio.SocketStream:
    """A connection, as soon as the engine listens."""
    with trio.fail_after(20):
        while True:
            try:
                return await made.connect()
            except OSError:
                await trio.sleep(0.01)

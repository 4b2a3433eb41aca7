"""Bridges over a real network that swallows everything: the end comes in seconds, whoever was speaking."""

import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import trio

from mesh.net.bridge import SILENCE_SECONDS, Bridge, Ending
from mesh.net.stream_ends import CHUNK, Plain
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.mesh.net.blocking import tcp_pair
from tests.waiting import until

PORT = 50052


class Apart(NamedTuple):
    """Two ends on two hosts; ``bert`` has the second."""

    here: Plain
    there: Plain
    bert: Host


@pytest.fixture
async def far(lab: Lab) -> AsyncIterator[Apart]:
    anna, bert = lab.hosts(2)
    with bert.socket() as listener:
        listener.bind((bert.address, PORT))
        listener.listen()
        listener.settimeout(10)
        here = await anna.connect(bert.address, PORT)
        there, _ = await trio.to_thread.run_sync(listener.accept)
    apart = Apart(Plain.take(here), Plain(there), bert)
    yield apart
    apart.here.close()
    apart.there.close()


async def ends_after_the_cut(far: Apart, speaks: bool) -> list[Ending]:
    near, program = tcp_pair()
    endings: list[Ending] = []
    bridge = Bridge(Plain(near), far.here, endings.append)
    with program:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run)
            program.sendall(b"hello")
            await until(lambda: bridge.outward.moved == 5)
            far.bert.cut(silent=True)
            if speaks:
                program.sendall(b"is anybody there?")
    return endings


@pytest.mark.parametrize("speaks", [True, False], ids=["while speaking", "while waiting"])
async def test_a_black_hole_ends_a_tunnel_in_seconds(far: Apart, speaks: bool) -> None:
    with trio.fail_after(15):
        assert await ends_after_the_cut(far, speaks) == [Ending.FAR_SILENT]


async def test_a_peer_that_only_does_not_read_keeps_its_tunnel(far: Apart) -> None:
    near, program = tcp_pair()
    bridge = Bridge(Plain(near), far.here)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.run)
        program.settimeout(1.0)
        with pytest.raises(TimeoutError):
            await trio.to_thread.run_sync(_flood, program)
        await trio.sleep(SILENCE_SECONDS + 1)
        read = 0
        while read < bridge.outward.moved:
            read += len(await trio.to_thread.run_sync(far.there.receive))
        nursery.cancel_scope.cancel()
    program.close()


def _flood(program: socket.socket) -> None:
    while True:
        program.sendall(bytes(CHUNK))

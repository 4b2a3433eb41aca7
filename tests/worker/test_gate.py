from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.mesh.engine.processes import until
from worker.gate import Gate

ALICE, BOB = b"a" * 16, b"b" * 16


@dataclass(frozen=True)
class FakeClaim:
    author: bytes
    term: int


@dataclass
class FakeSession:
    """The worker's end of an authenticated stream; ``far`` is the leader's."""

    peer: bytes | None
    arguments: dict[str, Any]
    stream: trio.abc.Stream
    far: trio.abc.Stream
    messages: list[dict[str, Any]] = field(default_factory=list)
    answered: trio.Event = field(default_factory=trio.Event)

    async def send_message(self, message: Any, /) -> None:
        self.messages.append(message)
        self.answered.set()


def session(peer: bytes | None = ALICE, term: object = 5) -> FakeSession:
    near, far = trio.testing.memory_stream_pair()
    return FakeSession(peer, {"term": term}, near, far)


@dataclass
class FakeServer:
    """Serves one client at a time, as rpc-server does, and says how many it has."""

    port: int | None = None
    serving: int = 0
    most: int = 0
    freed: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def free_up(self) -> None:
        await self.freed()

    async def connect(self) -> trio.SocketStream:
        if self.port is None:
            raise ConnectionRefusedError
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.serving += 1
        self.most = max(self.most, self.serving)
        try:
            while data := await stream.receive_some(1 << 20):
                if data == b"crash":
                    stream.socket.setsockopt(
                        trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                    )
                    stream.socket.close()
                    return
                await stream.send_all(data.upper())
        except trio.BrokenResourceError:
            pass
        finally:
            self.serving -= 1
            await trio.aclose_forcefully(stream)


@pytest.fixture
async def server(nursery: trio.Nursery) -> FakeServer:
    server = FakeServer()
    listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))

    server.port = listeners[0].socket.getsockname()[1]
    return server


@pytest.fixture
async def gate(server: FakeServer) -> AsyncIterator[Gate]:
    gate = Gate(server)
    gate.set_holder(FakeClaim(ALICE, 5))
    with trio.fail_after(20):
        yield gate


async def echo(one: FakeSession, text: bytes) -> bytes:
    await one.far.send_all(text)
    reply = b""
    while len(reply) < len(text):
        data = await one.far.receive_some(1 << 20)
        assert data, "the gate closed the stream"
        reply += data
    return reply


async def test_bytes_of_the_holder_pass_both_ways(gate: Gate, nursery: trio.Nursery) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    assert await echo(one, b"hello") == b"HELLO"
    big = b"x" * 3_000_000
    assert await echo_big(one, big) == big.upper()
    assert one.messages == [{"ok": True}]
    assert (gate.counters.bytes_in, gate.counters.bytes_out, gate.counters.passed) == (
        3_000_005,
        3_000_005,
        1,
    )


async def echo_big(one: FakeSession, data: bytes) -> bytes:
    reply = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.far.send_all, data)
        while len(reply) < len(data):
            reply += await one.far.receive_some(1 << 20)
    return bytes(reply)


@pytest.mark.parametrize(
    ("peer", "term"), [(BOB, 5), (ALICE, 4), (ALICE, 6), (None, 5), (ALICE, None), (ALICE, "5"), (BOB, 6)]
)
async def test_anyone_else_is_told_why_and_closed(
    gate: Gate, server: FakeServer, peer: bytes | None, term: object
) -> None:
    other = session(peer, term)
    await gate.handle(other)
    (message,) = other.messages
    assert message["ok"] is False
    assert "another claim" in message["reason"]
    assert await other.far.receive_some(1) == b""
    assert server.most == 0
    assert gate.counters.refused == 1


async def test_nobody_passes_while_the_lease_is_nobodys(gate: Gate) -> None:
    gate.set_holder(None)
    one = session()
    await gate.handle(one)
    assert one.messages == [{"ok": False, "reason": "this worker is leased to nobody"}]


@pytest.mark.parametrize("claim", [None, FakeClaim(BOB, 6), FakeClaim(ALICE, 6)])
async def test_a_stream_is_cut_when_its_lease_ends(
    gate: Gate, server: FakeServer, nursery: trio.Nursery, claim: FakeClaim | None
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await echo(one, b"hello")
    gate.set_holder(claim)
    assert await one.far.receive_some(1) == b""
    await until(lambda: not server.serving)
    assert gate.counters.cut == 1


async def test_the_same_claim_again_cuts_nothing(gate: Gate, nursery: trio.Nursery) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await echo(one, b"hello")
    gate.set_holder(FakeClaim(ALICE, 5))
    assert await echo(one, b"still") == b"STILL"


async def test_a_newer_holder_is_let_in_only_after_the_old_streams_are_gone(
    gate: Gate, server: FakeServer, nursery: trio.Nursery
) -> None:
    old, new = session(), session(BOB, 6)
    nursery.start_soon(gate.handle, old)
    await echo(old, b"hello")
    gate.set_holder(FakeClaim(BOB, 6))
    nursery.start_soon(gate.handle, new)
    assert await echo(new, b"mine") == b"MINE"
    with pytest.raises(trio.BrokenResourceError):
        await old.far.send_all(b"late")
    assert gate.counters.bytes_in == len("hello" + "mine")


async def test_a_newer_holder_waits_until_the_server_let_go_of_its_last_client(
    gate: Gate, server: FakeServer, nursery: trio.Nursery
) -> None:
    let_go = trio.Event()
    server.freed = let_go.wait
    one = session()
    nursery.start_soon(gate.handle, one)
    await trio.testing.wait_all_tasks_blocked()
    assert one.messages == []
    let_go.set()
    assert await echo(one, b"hello") == b"HELLO"


async def test_several_streams_of_the_holder_pass_one_after_the_other_in_order(
    gate: Gate, server: FakeServer, nursery: trio.Nursery
) -> None:
    sessions = [session() for _ in range(4)]
    for one in sessions:
        nursery.start_soon(gate.handle, one)
        await trio.testing.wait_all_tasks_blocked()
    for number, one in enumerate(sessions):
        await one.answered.wait()
        assert [bool(other.messages) for other in sessions] == [other <= number for other in range(4)]
        assert await echo(one, b"me") == b"ME"
        await one.far.aclose()
    await until(lambda: not server.serving)
    assert server.most == 1


async def test_waiting_streams_are_cut_too(gate: Gate, nursery: trio.Nursery) -> None:
    first, waiting = session(), session()
    nursery.start_soon(gate.handle, first)
    await echo(first, b"hello")
    nursery.start_soon(gate.handle, waiting)
    await trio.testing.wait_all_tasks_blocked()
    gate.set_holder(None)
    assert await waiting.far.receive_some(1) == b""
    assert waiting.messages == []


async def test_more_waiting_streams_than_there_is_room_for_are_refused(
    gate: Gate, nursery: trio.Nursery
) -> None:
    for _ in range(16):
        nursery.start_soon(gate.handle, session())
    await trio.testing.wait_all_tasks_blocked()
    late = session()
    await gate.handle(late)
    assert late.messages[0]["ok"] is False


async def test_the_end_of_the_holders_stream_is_the_servers_end(
    gate: Gate, server: FakeServer, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await echo(one, b"hello")
    assert isinstance(one.far, trio.abc.HalfCloseableStream)
    await one.far.send_eof()
    assert await one.far.receive_some(1) == b""
    await until(lambda: not server.serving)


async def test_a_server_that_resets_closes_the_holders_stream(gate: Gate, nursery: trio.Nursery) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await echo(one, b"hello")
    await one.far.send_all(b"crash")
    assert await one.far.receive_some(1) == b""


@pytest.mark.parametrize("port", [None, 1])
async def test_a_server_that_is_not_there_is_said(gate: Gate, server: FakeServer, port: int | None) -> None:
    server.port = port
    one = session()
    await gate.handle(one)
    assert one.messages == [{"ok": False, "reason": "the worker's rpc-server is not ready"}]
    assert await one.far.receive_some(1) == b""


async def test_a_holder_that_does_not_read_is_cut_all_the_same(
    gate: Gate, server: FakeServer, nursery: trio.Nursery
) -> None:
    near, far = trio.testing.lockstep_stream_pair()  # a send waits until the other side reads
    one = FakeSession(ALICE, {"term": 5}, near, far)
    nursery.start_soon(gate.handle, one)
    await far.send_all(b"hello")
    await trio.testing.wait_all_tasks_blocked()
    gate.set_holder(FakeClaim(BOB, 6))
    new = session(BOB, 6)
    nursery.start_soon(gate.handle, new)
    assert await echo(new, b"mine") == b"MINE"

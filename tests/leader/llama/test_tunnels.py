"""The leader's end of the tunnels: bytes both ways, ends and resets passed on and told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from leader.llama.tunnels import OpenTunnel, TunnelRefused, Tunnels, open_tunnels, pass_gate, unreachable
from leader.placement.rpc_groups import RpcGroup
from mesh.net.stream_ends import CHUNK, Plain
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from tests.mesh.net.blocking import sealed_pair
from tests.waiting import until

HERE, THERE = Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)
WORKER, ANOTHER = RpcGroup(b"w" * 16, ("",)), RpcGroup(b"w" * 16, ("CUDA1",))
Handler = Callable[[trio.SocketStream], Any]


class Nothing:
    """A session that has nothing left to close."""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@dataclass
class Bench:
    """Tunnels to one worker that is played by a handler."""

    tunnels: Tunnels
    port: int
    resets: list[tuple[RpcGroup, str]] = field(default_factory=list)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


async def listen(tunnels: Tunnels) -> int:
    """The port of a listener that leads to the worker."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    tunnels.listen(WORKER, listener)
    port: int = listener.socket.getsockname()[1]
    return port


@asynccontextmanager
async def bench(handler: Handler) -> AsyncIterator[Bench]:
    resets: list[tuple[RpcGroup, str]] = []
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handler, 0)
        port = listeners[0].socket.getsockname()[1]

        async def opener(server: RpcGroup) -> OpenTunnel:
            assert server == WORKER
            return OpenTunnel(Nothing(), Plain.take(await trio.open_tcp_stream("127.0.0.1", port)))

        async with open_tunnels(opener, lambda server, reason, _: resets.append((server, reason))) as tunnels:
            yield Bench(tunnels, await listen(tunnels), resets)
        nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def echo(stream: trio.SocketStream) -> None:
    async for chunk in stream:
        await stream.send_all(chunk)
    await stream.send_eof()


async def test_bytes_go_both_ways_and_are_counted() -> None:
    payload = bytes(range(256)) * (3 * CHUNK // 256)
    async with bench(echo) as b, await b.connect() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, payload)
            received = bytearray()
            while len(received) < len(payload):
                received += await client.receive_some()
        assert received == payload
        await until(lambda: b.tunnels.received == len(payload))
        assert (b.tunnels.sent, b.tunnels.received) == (len(payload), len(payload))
        assert b.resets == []


async def test_an_end_is_passed_on_while_the_other_direction_goes_on() -> None:
    async def answers_after_the_end(stream: trio.SocketStream) -> None:
        await stream.send_all(b"got " + await read_all(stream))

    async with bench(answers_after_the_end) as b, await b.connect() as client:
        await client.send_all(b"question")
        await client.send_eof()
        assert await read_all(client) == b"got question"
        assert b.resets == []


async def test_a_worker_that_closes_first_is_told() -> None:
    async def hangs_up(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)

    async with bench(hangs_up) as b, await b.connect() as client:
        await client.send_all(b"x")
        assert await read_all(client) == b""
        assert b.resets == [(WORKER, "the worker closed the tunnel")]


async def test_a_reset_worker_is_told_and_ends_the_connection() -> None:
    async def resets(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async with bench(resets) as b, await b.connect() as client:
        await client.send_all(b"x")
        with trio.fail_after(5):
            assert await read_all(client) == b""
        assert b.resets == [(WORKER, "the tunnel was reset")]


async def test_a_client_that_goes_is_no_fault_of_the_workers() -> None:
    gone = trio.Event()

    async def waits(stream: trio.SocketStream) -> None:
        await read_all(stream)
        gone.set()

    async with bench(waits) as b:
        client = await b.connect()
        await client.send_all(b"x")
        await client.aclose()
        with trio.fail_after(5):
            await gone.wait()
        assert b.resets == []


async def test_a_worker_that_cannot_be_reached_is_told_and_the_client_sees_an_end() -> None:
    resets = []

    async def opener(server: RpcGroup) -> OpenTunnel:
        raise MeshError("the gate is shut")

    async with open_tunnels(opener, lambda server, reason, _: resets.append((server, reason))) as tunnels:
        client = await trio.open_tcp_stream("127.0.0.1", await listen(tunnels))
        with trio.fail_after(5):
            assert await read_all(client) == b""
        await client.aclose()
    assert resets == [(WORKER, "no tunnel: the gate is shut")]


async def test_who_cannot_be_reached_is_known_before_anything_starts() -> None:
    ended = trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        assert await stream.receive_some(1) == b""
        ended.set()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handler, 0)
        port = listeners[0].socket.getsockname()[1]

        async def opener(server: RpcGroup) -> OpenTunnel:
            if server != WORKER:
                raise TunnelRefused("the worker's gate refused: not you")
            return OpenTunnel(Nothing(), Plain.take(await trio.open_tcp_stream("127.0.0.1", port)))

        failed = await unreachable([WORKER, ANOTHER], opener)
        assert failed == {ANOTHER: ("no tunnel: the worker's gate refused: not you", False)}
        with trio.fail_after(5):
            await ended.wait()
        nursery.cancel_scope.cancel()


async def test_connections_are_sessions_of_their_own() -> None:
    async with bench(echo) as b, await b.connect() as one, await b.connect() as two:
        await one.send_all(b"1")
        await two.send_all(b"2")
        assert (await one.receive_some(), await two.receive_some()) == (b"1", b"2")


async def test_a_tunnel_under_tls_is_ended_with_the_client() -> None:
    ours, theirs = await sealed_pair()
    closed = trio.Event()

    class Closing:
        async def aclose(self) -> None:
            closed.set()

    async def opener(server: RpcGroup) -> OpenTunnel:
        return OpenTunnel(Closing(), ours)

    def take() -> bytes:
        taken = bytes(theirs.receive())
        assert not theirs.receive(), "it ends with a goodbye"
        return taken

    async with open_tunnels(opener) as tunnels:
        client = await trio.open_tcp_stream("127.0.0.1", await listen(tunnels))
        await client.send_all(b"bye")
        await client.aclose()
        with trio.fail_after(5):
            assert await trio.to_thread.run_sync(take) == b"bye"
            await closed.wait()
        assert tunnels.sent == len(b"bye")
    theirs.close()


def counted(tunnels: Tunnels, total: int) -> bool:
    return tunnels.sent == tunnels.received == total


async def test_what_passed_is_counted_while_it_passes_and_after() -> None:
    async with bench(echo) as b:
        for total in (5, 10):
            async with await b.connect() as client:
                await client.send_all(b"hello")
                assert await client.receive_some() == b"hello"
                await until(partial(counted, b.tunnels, total))
        assert b.tunnels.sent_to(WORKER) == 10
        assert b.tunnels.sent_to(ANOTHER) == 0


@dataclass
class Spoken:
    """A session in which the gate says ``word``."""

    word: object
    said: list[Any] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)
    local: Endpoint = HERE
    remote: Endpoint = THERE
    end: Any = "sealed"

    async def receive_message(self, limit: int = 0, /) -> object:
        await trio.lowlevel.checkpoint()
        return self.word

    async def send_message(self, message: Any, /) -> None:
        await trio.lowlevel.checkpoint()
        self.said.append(message)

    async def unwrap(self) -> Any:
        await trio.lowlevel.checkpoint()
        return "plain"

    def sealed(self) -> Any:
        return "sealed"

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ({"ok": False, "reason": "another leads"}, "another leads"),
        ({}, "no reason"),
        ([1], "no reason"),
        (None, "no"),
    ],
)
async def test_a_gates_refusal_is_an_error_with_its_reason(word: object, reason: str) -> None:
    with pytest.raises(TunnelRefused, match=reason):
        await pass_gate(Spoken(word))


@pytest.mark.parametrize("word", ["\x1b[2J\nforged: line", "x" * 4000, ["no", "text"], b"\xff", {"a": 1}, 7])
async def test_a_refusal_is_bounded_and_drives_no_terminal(word: object) -> None:
    with pytest.raises(TunnelRefused) as refused:
        await pass_gate(Spoken({"ok": False, "reason": word}))
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 300


async def test_a_gate_that_lets_pass_lets_pass() -> None:
    session = Spoken({"ok": True})
    tunnel: Any = await pass_gate(session)
    assert (tunnel.session, tunnel.end, session.said) == (session, "sealed", [])


async def test_the_worker_that_got_the_last_bytes_and_is_silent_is_the_awaited_one() -> None:
    answers = trio.Event()

    async def slow(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        await answers.wait()
        await stream.send_all(b"answer")
        await trio.sleep_forever()

    async with bench(slow) as one:
        assert one.tunnels.awaited(loading=False) is None
        async with await one.connect() as client:
            await client.send_all(b"question")
            await until(lambda: one.tunnels.awaited(loading=False) == WORKER)
            assert one.tunnels.awaited(loading=True) is None, "it has taken all bytes"
            answers.set()
            assert await client.receive_some(100) == b"answer"
            assert one.tunnels.awaited(loading=False) is None


async def test_while_loading_a_worker_that_takes_no_bytes_is_the_awaited_one() -> None:
    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with bench(deaf) as one, await one.connect() as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, bytes(64 << 20))
        await until(lambda: one.tunnels.awaited(loading=True) == WORKER)
        nursery.cancel_scope.cancel()

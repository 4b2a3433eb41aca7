import socket

import pytest
import trio
import trio.testing

from mesh.gateway import http_server
from mesh.gateway.http_server import serve_gateway
from mesh.wire.errors import MeshError
from tests.mesh.gateway.conftest import StartGateway
from tests.mesh.gateway.doubles import STATUS, Call, Client, ScriptedBackend, chunk, sse

LIMIT = 5


async def silent(call: Call) -> None:
    await call.request()
    await call.hung_up()


class Stoppable:
    """A gateway that a test can stop, and that tells how long that took."""

    def __init__(self, node: ScriptedBackend) -> None:
        self.node = node
        self.scope = trio.CancelScope()
        self.stopped = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        with self.scope:
            await serve_gateway([("127.0.0.1", 0)], self.node, task_status=task_status)
        self.stopped.set()

    async def stop(self) -> float:
        began = trio.current_time()
        self.scope.cancel()
        with trio.fail_after(LIMIT):
            await self.stopped.wait()
        return trio.current_time() - began


async def test_what_was_bound_is_reported_in_its_order(nursery: trio.Nursery) -> None:
    async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await serve_gateway(
            [("127.0.0.1", 0), ("127.0.0.2", 0)], ScriptedBackend(nursery, silent), task_status=task_status
        )

    bound = await nursery.start(serve)
    assert [host for host, _ in bound] == ["127.0.0.1", "127.0.0.2"]
    for host, port in bound:
        client = Client(await trio.open_tcp_stream(host, port))
        await client.ask("GET", "/healthz")
        assert (await client.answer())[0] == 200
        await client.stream.aclose()
    nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_an_error_with_a_way_out(nursery: trio.Nursery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(MeshError, match="taken") as caught:
            await serve_gateway([("127.0.0.1", 0), ("127.0.0.1", port)], ScriptedBackend(nursery, silent))
    assert "--api-port" in caught.value.hint


async def test_an_address_of_another_machine_is_an_error_with_a_way_out(nursery: trio.Nursery) -> None:
    with pytest.raises(MeshError, match=r"cannot listen on 192\.0\.2\.1"):
        await serve_gateway([("192.0.2.1", 0)], ScriptedBackend(nursery, silent))


async def test_a_stop_tells_open_streams_and_is_done_within_a_second(nursery: trio.Nursery) -> None:
    async def endless(call: Call) -> None:
        await call.request()
        await call.send(sse("1"))
        await call.hung_up()

    gateway = Stoppable(ScriptedBackend(nursery, endless))
    [(_, port)] = await nursery.start(gateway.serve)
    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
    await client.ask("POST", "/v1/chat/completions", b"{}")
    await client.head()
    assert await client.piece() == b"data: 1\n\n"
    assert await gateway.stop() < 1
    assert b'"code":"stopping"' in await client.piece()
    await client.stream.aclose()


async def test_a_stop_does_not_wait_for_a_client_that_has_ceased_to_read(nursery: trio.Nursery) -> None:
    async def flood(call: Call) -> None:
        await call.request()
        await call.send(sse())
        try:
            while True:
                flowing.set()
                await call.send(chunk(b"data: " + b"x" * 60000 + b"\n\n"))
        except trio.BrokenResourceError:
            pass

    flowing = trio.Event()
    gateway = Stoppable(ScriptedBackend(nursery, flood))
    [(_, port)] = await nursery.start(gateway.serve)
    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
    await client.ask("POST", "/v1/chat/completions", b"{}")
    with trio.fail_after(LIMIT):
        await flowing.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert await gateway.stop() < 1
    await client.stream.aclose()


async def test_a_stop_lets_a_request_that_is_nearly_done_end_well(nursery: trio.Nursery) -> None:
    begun, finish = trio.Event(), trio.Event()

    async def leader(call: Call) -> None:
        await call.request()
        begun.set()
        await finish.wait()
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    gateway = Stoppable(ScriptedBackend(nursery, leader))
    [(_, port)] = await nursery.start(gateway.serve)
    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
    await client.ask("POST", "/completion", b"{}")
    with trio.fail_after(LIMIT):
        await begun.wait()
    gateway.scope.cancel()
    finish.set()
    with trio.fail_after(LIMIT):
        assert (await client.answer())[::2] == (200, b"{}")
        await gateway.stopped.wait()
    await client.stream.aclose()


async def test_a_stop_does_not_wait_for_connections_that_are_idle(nursery: trio.Nursery) -> None:
    gateway = Stoppable(ScriptedBackend(nursery, silent))
    [(_, port)] = await nursery.start(gateway.serve)
    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
    await client.ask("GET", "/healthz")
    await client.answer()
    await trio.testing.wait_all_tasks_blocked()
    assert await gateway.stop() < http_server.GRACE
    await client.stream.aclose()


async def test_more_clients_than_the_limit_are_turned_away_and_the_rest_is_served(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 1)
    gateway = await start_gateway()
    first = await gateway.connect()
    await first.ask("GET", "/healthz")
    await first.answer()
    second = await gateway.connect()
    with trio.fail_after(LIMIT):
        assert await second.stream.receive_some() == b""
    await first.ask("GET", "/status")
    assert STATUS["pool"]["name"].encode() in (await first.answer())[2]

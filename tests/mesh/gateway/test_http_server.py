import socket
from contextlib import suppress

import pytest
import trio
import trio.testing

from mesh.gateway import http_server
from mesh.gateway.entry import clients
from mesh.gateway.entry.entrances import Entrance
from mesh.gateway.http_server import serve_gateway
from mesh.protocol.base.drop_counters import DropCounters
from mesh.wire.errors import MeshError
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import Call, Client, ScriptedBackend, chunk, sse

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
            await serve_gateway([Entrance("127.0.0.1", 0)], self.node, task_status=task_status)
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
            [Entrance("127.0.0.1", 0), Entrance("127.0.0.2", 0)],
            ScriptedBackend(nursery, silent),
            task_status=task_status,
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
            await serve_gateway(
                [Entrance("127.0.0.1", 0), Entrance("127.0.0.1", port)], ScriptedBackend(nursery, silent)
            )
    assert "--api-port" in caught.value.hint


async def test_an_address_of_another_machine_is_an_error_with_a_way_out(nursery: trio.Nursery) -> None:
    with pytest.raises(MeshError, match=r"cannot listen on 192\.0\.2\.1"):
        await serve_gateway([Entrance("192.0.2.1", 0)], ScriptedBackend(nursery, silent))


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


# --- who has room


class Neighbourhood:
    """Clients at many addresses; only 127.0.0.1 is this machine's, the others are other hosts."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway

    async def connect(self, host: str) -> Client:
        stream = await trio.open_tcp_stream("127.0.0.1", self.gateway.port, local_address=host)
        self.gateway.clients.append(Client(stream))
        return self.gateway.clients[-1]

    async def begin(self, host: str, times: int, begun: bytes) -> None:
        """Begin requests that do not end."""
        for _ in range(times):
            client = await self.connect(host)
            with suppress(trio.BrokenResourceError):
                await client.stream.send_all(begun)

    async def fresh(self, host: str) -> int:
        """The status of an answer that must come at once."""
        client = await self.connect(host)
        with trio.fail_after(1):
            await client.ask("GET", "/healthz")
            return (await client.answer())[0]


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "is_loopback", lambda host: host == "127.0.0.1")


HEAD = b"POST /completion HTTP/1.1\r\nhost: localhost\r\n"
BEGUN = [
    b"",
    HEAD[:-9],
    HEAD,
    HEAD + b"content-length: 9\r\n\r\n{",
    HEAD + b"transfer-encoding: chunked\r\n\r\n",
]


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("begun", BEGUN)
async def test_a_host_that_begins_hundreds_of_requests_keeps_nobody_waiting(
    start_gateway: StartGateway, begun: bytes
) -> None:
    place = Neighbourhood(await start_gateway())
    await place.begin("127.0.0.66", 450, begun)
    for host in ["127.0.0.7", "127.0.0.1", "127.0.0.66"] * 16:
        assert await place.fresh(host) == 200


@pytest.mark.usefixtures("others")
async def test_hosts_that_begin_requests_all_together_keep_nobody_waiting(
    start_gateway: StartGateway,
) -> None:
    place = Neighbourhood(await start_gateway())
    for number in range(66, 74):
        await place.begin(f"127.0.0.{number}", 60, BEGUN[1])
    for host in ["127.0.0.7", "127.0.0.8", "127.0.0.1"] * 16:
        assert await place.fresh(host) == 200


@pytest.mark.parametrize("begun", BEGUN)
async def test_a_local_program_that_begins_hundreds_of_requests_keeps_no_other_waiting(
    start_gateway: StartGateway, begun: bytes
) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    place = Neighbourhood(await start_gateway(leader))
    await place.begin("127.0.0.1", 450, begun)
    for _ in range(16):
        assert await place.fresh("127.0.0.1") == 200
        assert (await place.gateway.fetch("GET", "/props"))[0] == 200


@pytest.mark.usefixtures("others")
async def test_requests_in_progress_are_never_cut_for_others(start_gateway: StartGateway) -> None:
    finish = trio.Event()

    async def leader(call: Call) -> None:
        await call.request()
        await finish.wait()
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    drops = DropCounters[str]()
    place = Neighbourhood(await start_gateway(leader, drops=drops))
    busy = [await place.connect("127.0.0.66") for _ in range(clients.MAX_CLIENTS_OF_A_SOURCE)]
    for client in busy:
        await client.ask("POST", "/completion", b"{}")
    await trio.testing.wait_all_tasks_blocked(0.1)
    await place.begin("127.0.0.66", 20, BEGUN[1])
    assert await place.fresh("127.0.0.7") == 200
    assert drops.counts == {"crowded": 20}
    finish.set()
    with trio.fail_after(LIMIT):
        assert [(await client.answer())[0] for client in busy] == [200] * len(busy)


async def test_a_connection_that_waits_for_the_guards_word_gives_way_too(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def guard(caller: object) -> None:
        nonlocal asked
        asked += 1
        if asked <= 3:
            await trio.sleep_forever()

    monkeypatch.setattr(clients, "MAX_LOCAL_CLIENTS", 3)
    place = Neighbourhood(await start_gateway(guard=guard))
    await place.begin("127.0.0.1", 3, b"")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert await place.fresh("127.0.0.1") == 200
    with trio.fail_after(LIMIT):
        assert await place.gateway.clients[0].stream.receive_some() == b""


# --- where the key is needed


KEY = "sesame-open-yourself"


@pytest.mark.parametrize("other", ["0.0.0.0", "127.0.0.2"])
async def test_the_key_is_needed_where_the_api_is_opened_and_not_on_loopback(
    nursery: trio.Nursery, other: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    entrances = [Entrance("127.0.0.1", port), Entrance(other, port, KEY)]

    async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await serve_gateway(entrances, ScriptedBackend(nursery, silent), task_status=task_status)

    async def status(address: str, **headers: str) -> int:
        client = Client(await trio.open_tcp_stream(address, port))
        async with client.stream:
            with trio.fail_after(LIMIT):
                await client.ask("GET", "/status", b"", **headers)
                return (await client.answer())[0]

    assert await nursery.start(serve) == [("127.0.0.1", port), (other, port)]
    assert await status("127.0.0.1") == 200
    assert await status("127.0.0.1", host="mesh.example") == 403
    assert await status("127.0.0.2") == 401
    assert await status("127.0.0.2", x_api_key=KEY) == 200
    assert await status("127.0.0.2", authorization=f"Bearer {KEY}", host="mesh.example") == 200
    assert await status("127.0.0.2", x_api_key=KEY, origin="http://evil.example") == 403
    nursery.cancel_scope.cancel()

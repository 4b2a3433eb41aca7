"""A tailscaled in userspace brings strangers to loopback: the API serves this machine's programs alone."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from mesh.gateway import loopback_guard
from mesh.gateway.entry.entrances import Entrance
from mesh.gateway.http_server import serve_gateway
from mesh.gateway.loopback_guard import LoopbackGuard
from mesh.net.discovery import tailscale
from mesh.net.discovery.tailscale import find_daemon
from mesh.wire.endpoint import Endpoint
from tests.lab.userspace import Userspace, userspace
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import Client, ScriptedBackend

LIMIT = 10
SERVED, STRANGER, UNKNOWN = 200, 403, 503


class Machine:
    """A machine with a gateway, on a tailnet."""

    def __init__(self, daemon: Userspace, guard: LoopbackGuard, gateway: RunningGateway) -> None:
        self.daemon = daemon
        self.guard = guard
        self.gateway = gateway

    async def local(self) -> int:
        """The status of an answer to a program of this machine."""
        with trio.fail_after(LIMIT):
            return (await self.gateway.fetch("GET", "/status"))[0]

    async def stranger(self) -> int:
        """The status of an answer to a machine of the tailnet."""
        return await status_of(await self.daemon.visit(self.gateway.port))


async def status_of(stream: trio.SocketStream) -> int:
    client = Client(stream)
    with trio.fail_after(LIMIT):
        async with stream:
            await client.ask("GET", "/status", host="localhost:50080")
            return (await client.answer())[0]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test waits for an answer that does not come for no more than a second."""
    monkeypatch.setattr(tailscale, "ASK_SECONDS", 1.0)


@pytest.fixture
async def machine(start_gateway: StartGateway, nursery: trio.Nursery) -> AsyncIterator[Machine]:
    async with userspace(nursery) as daemon:
        guard = LoopbackGuard(partial(find_daemon, str(daemon.socket)))
        yield Machine(daemon, guard, await start_gateway(guard=guard.refusal))
        nursery.cancel_scope.cancel()


async def test_a_stranger_is_refused_and_a_local_program_is_served(machine: Machine) -> None:
    async with machine.daemon.running():
        assert await machine.stranger() == STRANGER
        assert await machine.local() == SERVED
        assert await machine.stranger() == STRANGER
    assert machine.guard.drops.counts == {"tailnet": 2}


async def test_a_stranger_is_told_why_before_it_has_said_anything(machine: Machine) -> None:
    async with machine.daemon.running():
        client = Client(await machine.daemon.visit(machine.gateway.port))
        with trio.fail_after(LIMIT):
            async with client.stream:
                head, text = await client.head(), await client.rest()
                assert await client.stream.receive_some() == b""
    assert (head.status_code, dict(head.headers)[b"connection"]) == (STRANGER, b"close")
    assert "over the tailnet" in json.loads(text)["error"]["message"]


async def test_of_requests_sent_at_once_no_later_one_is_answered(machine: Machine) -> None:
    async with machine.daemon.running():
        stream = await machine.daemon.visit(machine.gateway.port)
        received = b""
        with trio.fail_after(LIMIT):
            async with stream:
                await stream.send_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
                while piece := await stream.receive_some():
                    received += piece
    assert received.count(b"HTTP/1.1") == received.count(b"HTTP/1.1 403") == 1


async def test_a_local_program_is_asked_about_once_for_all_its_requests(machine: Machine) -> None:
    async with machine.daemon.running():
        client = await machine.gateway.connect()
        await client.ask("GET", "/status")
        assert (await client.answer())[0] == SERVED
        machine.daemon.configure(silent=["status", "whois"])
        await client.ask("GET", "/status")
        with trio.fail_after(LIMIT):
            assert (await client.answer())[0] == SERVED


@pytest.mark.usefixtures("impatient")
async def test_nobody_is_served_while_whois_gives_no_answer(machine: Machine) -> None:
    async with machine.daemon.running():
        assert await machine.local() == SERVED
        machine.daemon.configure(silent=["whois"])
        assert await machine.local() == UNKNOWN
        assert await machine.stranger() == UNKNOWN
        machine.daemon.configure(silent=[])
        assert await machine.local() == SERVED
    assert machine.guard.drops.counts == {"unknown": 2}


async def test_a_daemon_that_never_said_how_it_runs_is_not_believed(machine: Machine) -> None:
    machine.daemon.configure(silent=["status"])
    async with machine.daemon.running():
        assert await machine.stranger() == UNKNOWN
        began = trio.current_time()
        assert await machine.local() == UNKNOWN
        assert trio.current_time() - began < loopback_guard.MODE_SECONDS


async def test_a_daemon_that_takes_no_connection_is_not_believed_to_be_gone(machine: Machine) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as stuck, closing(socket.socket(socket.AF_UNIX)) as first:
        stuck.bind(str(machine.daemon.socket))
        stuck.listen(0)
        first.connect(str(machine.daemon.socket))
        assert await machine.local() == UNKNOWN


async def test_of_a_daemon_with_an_interface_whois_is_not_asked(machine: Machine) -> None:
    machine.daemon.configure(tun=True, silent=["whois"])
    async with machine.daemon.running():
        assert await machine.local() == SERVED
        machine.daemon.configure(silent=["status", "whois"])
        assert await machine.local() == SERVED


async def test_a_daemon_that_starts_later_or_in_another_mode_is_noticed_at_once(machine: Machine) -> None:
    assert await machine.stranger() == SERVED
    async with machine.daemon.running():
        assert await machine.stranger() == STRANGER
    assert await machine.stranger() == SERVED
    machine.daemon.configure(tun=True)
    async with machine.daemon.running():
        assert await machine.stranger() == SERVED
    machine.daemon.configure(tun=False)
    async with machine.daemon.running():
        assert await machine.stranger() == STRANGER


async def test_a_socket_that_a_dead_daemon_left_keeps_nobody_out(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(machine.daemon.socket))
    assert await machine.local() == SERVED


async def test_a_daemon_that_dies_before_it_answers_keeps_nobody_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whois(self: tailscale.Tailscale, caller: Endpoint) -> None:
        await trio.lowlevel.checkpoint()
        raise tailscale.explain(ConnectionRefusedError(), "there")

    async with machine.daemon.running():
        assert await machine.local() == SERVED
        monkeypatch.setattr(tailscale.Tailscale, "whois", whois)
        assert await machine.local() == SERVED


async def test_a_folder_that_may_not_be_read_may_hold_a_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *, follow_symlinks: bool = True) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    guard = LoopbackGuard(lambda: Path("/nowhere to be found/tailscaled.sock"))
    monkeypatch.setattr(tailscale.Tailscale, "has_interface", lambda self: _not_permitted())
    reply = await guard.refusal(Endpoint("127.0.0.1", 9))
    assert reply is not None
    assert reply.status == UNKNOWN


async def _not_permitted() -> bool:
    await trio.lowlevel.checkpoint()
    raise tailscale.explain(PermissionError(13, "Permission denied"), "/nowhere to be found")


async def test_callers_from_elsewhere_are_not_asked_about(machine: Machine) -> None:
    async with machine.daemon.running():
        machine.daemon.configure(silent=["status", "whois"])
        assert await machine.guard.refusal(Endpoint("192.0.2.1", 9)) is None


async def test_loopback_of_ipv6_is_loopback(machine: Machine, nursery: trio.Nursery) -> None:
    async def script(call: object) -> None:
        raise AssertionError

    async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await serve_gateway(
            [Entrance("::1", 0, guard=machine.guard.refusal)],
            ScriptedBackend(nursery, script),
            task_status=task_status,
        )

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(machine.daemon.running())
        try:
            [(_, port)] = await nursery.start(serve)
        except OSError:
            pytest.skip("no IPv6 here")
        assert await status_of(await machine.daemon.visit(port, "::1")) == STRANGER
        assert await status_of(await trio.open_tcp_stream("::1", port)) == SERVED


async def test_many_local_programs_at_once_are_all_served(machine: Machine, nursery: trio.Nursery) -> None:
    served: list[int] = []

    async def ask() -> None:
        served.append(await machine.local())

    async with machine.daemon.running(), trio.open_nursery() as programs:
        for _ in range(4 * loopback_guard.MAX_ASKING):
            programs.start_soon(ask)
    assert served == [SERVED] * 4 * loopback_guard.MAX_ASKING

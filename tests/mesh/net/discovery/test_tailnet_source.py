"""The tailnet's machines are asked at two ports, and tailscaled says whose each of them is."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio

from mesh.net.addresses import endpoint_of
from mesh.net.discovery import tailscale
from mesh.net.discovery.discovery_source import OwnerCheck
from mesh.net.discovery.tailnet_source import TailnetSource
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.wire.endpoint import Endpoint
from tests.lab.userspace import STRANGER, Userspace, userspace
from tests.mesh.machines import Daemon, Tailnet

TAILNET = {"100.64.0.1": "alice", "100.64.0.2": "alice", "100.64.0.3": "bob"}


@pytest.fixture
def tailnet() -> Tailnet:
    return Tailnet(dict(TAILNET))


async def test_each_machine_is_named_at_each_port_once(tailnet: Tailnet) -> None:
    source = TailnetSource(Daemon(tailnet, "100.64.0.1"), (50052, 7, 50052))
    assert await source.endpoints(None) == [
        Endpoint(host, port) for host in ("100.64.0.2", "100.64.0.3") for port in (50052, 7)
    ]


async def test_the_owner_of_a_connections_other_end_is_compared(tailnet: Tailnet) -> None:
    source = TailnetSource(Daemon(tailnet, "100.64.0.1"), (7,))
    assert await source.check_owner(Endpoint("100.64.0.2", 9)) == OwnerCheck(True, "at 100.64.0.2", "")
    refused = await source.check_owner(Endpoint("100.64.0.3", 9))
    assert refused == OwnerCheck(False, "at 100.64.0.3", "belongs to bob, this pool to alice")
    assert await source.check_owner(Endpoint("192.0.2.1", 9)) is None


@pytest.fixture
async def in_userspace(nursery: trio.Nursery) -> AsyncIterator[Userspace]:
    async with userspace(nursery) as daemon, daemon.running():
        yield daemon
        nursery.cancel_scope.cancel()


class Door:
    """A port of loopback, and where its visitors seem to come from."""

    def __init__(self, stack: AsyncExitStack, daemon: Userspace) -> None:
        self._stack = stack
        self._daemon = daemon

    async def brought(self, by: str) -> Endpoint:
        listener = await self._listen()
        await self._stack.enter_async_context(await self._daemon.visit(_port(listener), by=by))
        return await self._accept(listener)

    async def local(self) -> Endpoint:
        listener = await self._listen()
        await self._stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", _port(listener)))
        return await self._accept(listener)

    async def _listen(self) -> trio.SocketListener:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        return await self._stack.enter_async_context(listener)

    async def _accept(self, listener: trio.SocketListener) -> Endpoint:
        stream = await self._stack.enter_async_context(await listener.accept())
        return endpoint_of(stream.socket.getpeername())


def _port(listener: trio.SocketListener) -> int:
    return int(listener.socket.getsockname()[1])


async def test_a_caller_that_a_userspace_daemon_brings_to_loopback_is_judged_as_any(
    in_userspace: Userspace,
) -> None:
    source = TailnetSource(Tailscale(in_userspace.socket), (7,))
    async with AsyncExitStack() as stack:
        door = Door(stack, in_userspace)
        own, strange = await door.brought("100.64.0.1"), await door.brought(STRANGER)
        assert await source.check_owner(own) == OwnerCheck(True, "anna", "")
        reason = "belongs to bob@example.com, this pool to alice@example.com"
        assert await source.check_owner(strange) == OwnerCheck(False, "bert", reason)
        assert await source.check_owner(await door.local()) is None


async def test_another_users_program_does_not_pass_by_a_port_that_the_daemon_uses_too(
    in_userspace: Userspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = TailnetSource(Tailscale(in_userspace.socket), (7,))
    daemons = os.geteuid()
    monkeypatch.setattr(tailscale, "users_of", lambda port: {daemons, daemons + 1})
    async with AsyncExitStack() as stack:
        assert await source.check_owner(await Door(stack, in_userspace).brought("100.64.0.1")) is None


async def test_a_daemon_that_is_down_cannot_be_asked(tailnet: Tailnet) -> None:
    tailnet.down = "the tailnet is stopped"
    with pytest.raises(TailscaleError, match="stopped"):
        await TailnetSource(Daemon(tailnet, "100.64.0.1"), (7,)).endpoints(None)

"""The tailnet's machines are asked at two ports, and tailscaled says whose each of them is."""

import pytest
import trio

from mesh.net.discovery.discovery_source import OwnerCheck
from mesh.net.discovery.tailnet_source import TailnetSource
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.wire.endpoint import Endpoint
from tests.lab.userspace import STRANGER, userspace
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


async def test_a_caller_that_a_userspace_daemon_brings_to_loopback_is_judged_as_any(
    nursery: trio.Nursery,
) -> None:
    async with userspace(nursery) as daemon, daemon.running():
        source = TailnetSource(Tailscale(daemon.socket), (7,))
        daemon.configure(forwarded={"40001": "100.64.0.1", "40002": STRANGER})
        assert await source.check_owner(Endpoint("127.0.0.1", 40001)) == OwnerCheck(True, "anna", "")
        refused = await source.check_owner(Endpoint("127.0.0.1", 40002))
        reason = "belongs to bob@example.com, this pool to alice@example.com"
        assert refused == OwnerCheck(False, "bert", reason)
        assert await source.check_owner(Endpoint("127.0.0.1", 40003)) is None


async def test_a_daemon_that_is_down_cannot_be_asked(tailnet: Tailnet) -> None:
    tailnet.down = "the tailnet is stopped"
    with pytest.raises(TailscaleError, match="stopped"):
        await TailnetSource(Daemon(tailnet, "100.64.0.1"), (7,)).endpoints(None)

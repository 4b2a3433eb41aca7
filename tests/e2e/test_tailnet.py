"""`mesh join` with no argument at all, on machines of one tailnet."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from tests.e2e.pools import alive, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")


async def with_tailnet(hosts: Sequence[Host], users: dict[str, str]) -> None:
    """Each host gets a LocalAPI of its own that knows all of them and whose they are."""
    machines = [
        {"name": host.name, "ip": host.address, "user": users.get(host.name, "alice@example.com")}
        for host in hosts
    ]
    for host, machine in zip(hosts, machines, strict=True):
        config = host.folder / "tailnet.json"
        peers = [{**peer, "os": "linux", "online": True} for peer in machines if peer is not machine]
        config.write_text(json.dumps({"self": machine, "peers": peers}))
        module = [sys.executable, "-m", "tests.lab.fake_tailscaled"]
        root = str(Path(__file__).parents[2])
        host.popen([*module, "--socket", socket_of(host), "--config", config], PYTHONPATH=root)
    with trio.fail_after(20):
        while True:
            if all(socket_of(host).exists() for host in hosts):
                return
            await trio.sleep(0.05)


def socket_of(host: Host) -> Path:
    return host.folder / "tailscaled.sock"


async def join(host: Host) -> None:
    await host.amesh("join", "--name", host.name, "--memory", "60M", *on_tailnet(host))


def on_tailnet(host: Host) -> tuple[str | Path, ...]:
    """Machines of a tailnet look for each other at the usual port."""
    return ("--tailscaled-socket", socket_of(host), "--port", "50052")


async def test_one_after_the_other_they_become_one_pool_with_nothing_typed(lab: Lab) -> None:
    hosts = lab.hosts(3)
    await with_tailnet(hosts, {})
    for host in hosts:
        await join(host)
    for host in hosts:
        status = await status_when(host, lambda status: len(alive(status)) == 3)
        me = next(member for member in status["members"] if member["id"] == status["self"]["id"])
        assert me["rights"] == ["work", "ask", "lead", "own"]


async def test_all_at_once_they_become_one_pool(lab: Lab) -> None:
    hosts = lab.hosts(3)
    await with_tailnet(hosts, {})
    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(join, host)
    pools = set()
    for host in hosts:
        status = await status_when(host, lambda status: len(alive(status)) == 3)
        pools.add(status["pool"]["id"])
    assert len(pools) == 1


async def test_a_machine_of_another_user_is_refused_with_the_reason(lab: Lab) -> None:
    hosts = lab.hosts(4)
    await with_tailnet(hosts, {hosts[3].name: "mallory@example.com"})
    for host in hosts[:3]:
        await join(host)
    refused = await hosts[3].amesh("join", "--name", "stranger", *on_tailnet(hosts[3]), check=False)
    assert refused.returncode == 1
    assert "belongs to mallory@example.com, this pool to alice@example.com" in refused.stderr
    assert "mesh invite" in refused.stderr
    status = await status_when(hosts[0], lambda status: True)
    assert len(status["members"]) == 3

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
import zeroconf

from mesh.net.discovery.discovery_source import Sighting
from mesh.net.discovery.mdns import SERVICE_TYPE, Mdns, read_announcement, version_text, versions_in_text
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity, id_text, pool_id
from mesh.wire.versions import CLOSED, SPOKEN, Versions

NODE = Identity.from_seed(bytes(32))
NODE_ID = id_text(NODE.id)
POOL_ID = id_text(pool_id(NODE.public_key))


def announcement(
    properties: dict[str, str | bytes | None], port: int = 5, address: str = "10.0.0.1"
) -> zeroconf.ServiceInfo:
    return zeroconf.ServiceInfo(
        SERVICE_TYPE,
        f"x.{SERVICE_TYPE}",
        port=port,
        properties=properties,
        server="x.local.",
        parsed_addresses=[address] if address else [],
    )


def test_an_announcement_is_read() -> None:
    info = announcement({"pool": POOL_ID, "node": NODE_ID, "name": "tower", "version": version_text(SPOKEN)})
    where = (Endpoint("10.0.0.1", 5),)
    assert read_announcement(info) == Sighting(POOL_ID, NODE_ID, "tower", SPOKEN, where)


@pytest.mark.parametrize(
    "info",
    [
        announcement({}),
        announcement({"pool": "nonsense", "node": NODE_ID}),
        announcement({"pool": b"\xff\xfe", "node": NODE_ID}),
        announcement({"pool": None, "node": NODE_ID}),
        announcement({"pool": POOL_ID, "node": NODE_ID}, address=""),
        announcement({"pool": POOL_ID, "node": NODE_ID}, port=0),
    ],
)
def test_an_announcement_of_something_else_is_passed_over(info: zeroconf.ServiceInfo) -> None:
    assert read_announcement(info) is None


@pytest.mark.parametrize("speaks", [CLOSED, SPOKEN, Versions(9, 10), Versions(254, 255)])
def test_what_an_announcement_says_of_versions_is_read_as_it_was_meant(speaks: Versions) -> None:
    assert versions_in_text(version_text(speaks)) == speaks


def test_version_2_announces_its_number_alone() -> None:
    assert version_text(CLOSED) == "2"


@pytest.mark.parametrize("text", ["", "x", "3-2", "1-2-3", "-2", "2-", "1000", "2 - 3", "\u0662", "2\n"])
def test_what_says_no_versions_says_nothing(text: str) -> None:
    assert versions_in_text(text) is None


def test_the_services_name_is_within_the_rules() -> None:
    assert len(SERVICE_TYPE.split(".")[0].lstrip("_")) <= 15


@contextlib.asynccontextmanager
async def running(*addresses: str) -> AsyncIterator[Mdns]:
    mdns = Mdns(addresses)
    async with trio.open_nursery() as nursery:
        await nursery.start(mdns.run)
        yield mdns
        nursery.cancel_scope.cancel()


async def find(mdns: Mdns, node: str, port: int) -> Sighting:
    """The first sighting of ``node`` at ``port``: others on this machine may announce as well."""
    with trio.fail_after(15):
        while True:
            sighting = await mdns.sightings.receive()
            if sighting.node == node and sighting.endpoints[0].port == port:
                return sighting


async def test_a_pool_is_found_by_who_was_there_before_and_by_who_comes_after() -> None:
    node, pool = id_text(Identity.generate().id), id_text(pool_id(b"k" * 32))
    async with running("127.0.0.1") as watcher, running("127.0.0.1") as announcer:
        await announcer.announce(pool, node, 50052, "tower", ["127.0.0.1"])
        expected = Sighting(pool, node, "tower", SPOKEN, (Endpoint("127.0.0.1", 50052),))
        assert await find(watcher, node, 50052) == expected
        async with running("127.0.0.1") as late:
            assert await find(late, node, 50052) == expected
        assert not announcer.reason


async def test_a_new_announcement_replaces_the_old_one() -> None:
    node, pool = id_text(Identity.generate().id), id_text(pool_id(b"k" * 32))
    async with running("127.0.0.1") as watcher, running("127.0.0.1") as announcer:
        await announcer.announce(pool, node, 1, "tower", ["127.0.0.1"])
        await find(watcher, node, 1)
        other = id_text(pool_id(b"l" * 32))
        await announcer.announce(other, node, 2, "tower", ["127.0.0.1"])
        assert (await find(watcher, node, 2)).pool == other
        await announcer.withdraw()


async def test_without_a_network_it_says_why_and_nothing_fails() -> None:
    async with running() as mdns:
        assert "no network interface" in mdns.reason
        await mdns.announce(POOL_ID, NODE_ID, 1, "tower", [])
        await mdns.withdraw()


ANNOUNCE = """
import sys, trio
from mesh.net.discovery.mdns import Mdns
async def main(address, pool, node):
    mdns = Mdns([address])
    async with trio.open_nursery() as nursery:
        await nursery.start(mdns.run)
        await mdns.announce(pool, node, 50052, "far", [address])
        print(mdns.reason, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
trio.run(main, *sys.argv[1:])
"""

WATCH = """
import sys, trio
from mesh.net.discovery.mdns import Mdns
async def main(address, node):
    mdns = Mdns([address])
    async with trio.open_nursery() as nursery:
        await nursery.start(mdns.run)
        with trio.move_on_after(20):
            while (sighting := await mdns.sightings.receive()).node != node:
                continue
            print(*sighting.endpoints)
        nursery.cancel_scope.cancel()
trio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them and no default route: (names)."""
    names = tuple(f"mdns-{os.getpid()}-{side}" for side in "ab")
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        cable = ["name", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1]]
        subprocess.run(["ip", "link", "add", *cable], check=True)
        for number, name in enumerate(names, 1):
            for command in (
                ["link", "set", "lo", "up"],
                ["address", "add", f"10.66.0.{number}/24", "dev", "eth0"],
                ["link", "set", "eth0", "up"],
            ):
                subprocess.run(["ip", "-n", name, *command], check=True)
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def may_make_hosts() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"mdns-{os.getpid()}-try"
    made = (
        subprocess.run(["ip", "netns", "add", name], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )
    if made:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    return made


@pytest.mark.skipif(not may_make_hosts(), reason="network namespaces need root")
def test_hosts_on_a_cable_without_any_route_find_each_other(two_hosts: tuple[str, str]) -> None:
    near, far = (["ip", "netns", "exec", name, sys.executable, "-c"] for name in two_hosts)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*far, ANNOUNCE, "10.66.0.2", POOL_ID, NODE_ID], **pipes) as announcer:  # type: ignore[call-overload]
        try:
            assert announcer.stdout.readline() == b"\n"
            watched = subprocess.run(
                [*near, WATCH, "10.66.0.1", NODE_ID], check=True, stdout=subprocess.PIPE, timeout=60
            )
            assert watched.stdout.decode().strip() == "10.66.0.2:50052"
            announcer.stdin.close()
            assert announcer.wait(timeout=20) == 0
        finally:
            announcer.kill()

"""All sources of a node are asked in their order, and one that fails keeps nobody from the others."""

from collections.abc import Callable, Sequence

import trio
from trio.testing import wait_all_tasks_blocked

from mesh.net.discovery.discovery import Discovery
from mesh.net.discovery.discovery_source import DiscoverySource, Sighting
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId
from mesh.wire.versions import CLOSED

POOL = PoolId(b"p" * 16)
SIGHTING = Sighting("pool", "node", "bert", CLOSED, (Endpoint("192.0.2.9", 1),))


class Fixed(DiscoverySource):
    """Says the same always; what it is told is noted."""

    name = "fixed"

    def __init__(self, port: int, last_resort: bool = False) -> None:
        self.last_resort = last_resort
        self.told: list[str] = []
        self._there = Endpoint("192.0.2.1", port)

    async def endpoints(self, pool: PoolId | None) -> Sequence[Endpoint]:
        return [self._there]

    def remember(self, pool: PoolId, endpoints: Sequence[Endpoint]) -> None:
        self.told.extend(map(str, endpoints))

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        self.told.append(f"{name} of {pool}")

    async def withdraw(self) -> None:
        self.told.append("withdrawn")


class Broken(DiscoverySource):
    """Cannot be asked."""

    name = "broken"

    async def endpoints(self, pool: PoolId | None) -> Sequence[Endpoint]:
        raise MeshError("out of order")


class Watching(DiscoverySource):
    """Sees one announcement as soon as it runs."""

    name = "watching"
    announces = True

    async def endpoints(self, pool: PoolId | None) -> Sequence[Endpoint]:
        return ()

    def sightings(self) -> Sequence[Sighting]:
        return [SIGHTING]

    async def run(
        self,
        seen: Callable[[Sighting], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        seen(SIGHTING)


async def test_all_are_asked_in_their_order_past_one_that_is_broken() -> None:
    discovery = Discovery([Fixed(2), Broken(), Fixed(1)], lambda: None)
    assert [one.port for one in await discovery.endpoints(POOL)] == [2, 1]


async def test_a_last_resort_is_asked_by_a_node_alone() -> None:
    discovery = Discovery([Fixed(1, last_resort=True), Fixed(2)], lambda: None)
    assert [one.port for one in await discovery.endpoints(POOL)] == [2]
    assert [one.port for one in await discovery.endpoints(POOL, alone=True)] == [1, 2]


async def test_a_sighting_goes_to_the_stay_if_there_is_one_and_counts_as_a_change() -> None:
    changes: list[int] = []
    greeted: list[Sighting] = []
    async with trio.open_nursery() as nursery:
        alone = Discovery([Watching()], lambda: changes.append(1))
        attached = Discovery([Fixed(1), Watching()], lambda: changes.append(2))
        attached.on_sighting = greeted.append
        for discovery in (alone, attached):
            await nursery.start(discovery.run)
            await wait_all_tasks_blocked()
    assert changes == [1, 2]
    assert greeted == [SIGHTING]
    assert attached.sightings() == [SIGHTING]


async def test_each_hears_what_is_announced_withdrawn_and_remembered() -> None:
    sources = [Fixed(1), Fixed(2)]
    discovery = Discovery([sources[0], Broken(), sources[1]], lambda: None)
    await discovery.announce("pool", "node", 7, "anna", ["192.0.2.7"])
    discovery.remember(POOL, [Endpoint("192.0.2.8", 8)])
    await discovery.withdraw()
    assert [source.told for source in sources] == [["anna of pool", "192.0.2.8:8", "withdrawn"]] * 2

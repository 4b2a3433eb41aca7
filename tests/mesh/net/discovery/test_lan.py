"""Sightings on the local network, the latest of each node, as many as the bound."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from mesh.net.discovery.discovery_source import Sighting
from mesh.net.discovery.lan import MAX_SEEN, LanSource
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId, id_text
from tests.mesh.machines import QuietMdns

POOL = PoolId(b"p" * 16)


class Seen:
    def __init__(self) -> None:
        self.mdns = QuietMdns()
        self.source = LanSource(self.mdns, "me")
        self.told: list[str] = []

    async def see(self, *nodes: str, pool: str = "pool", port: int = 1) -> None:
        for node in nodes:
            await self.mdns.see.send(Sighting(pool, node, node, None, (Endpoint("192.0.2.1", port),)))
        await wait_all_tasks_blocked()


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    seen = Seen()
    async with trio.open_nursery() as nursery:
        await nursery.start(seen.source.run, lambda sighting: seen.told.append(sighting.node))
        yield seen
        nursery.cancel_scope.cancel()


async def test_what_is_seen_is_kept_and_told(seen: Seen) -> None:
    await seen.see("a", "b")
    assert [sighting.node for sighting in seen.source.sightings()] == ["a", "b"]
    assert seen.told == ["a", "b"]


async def test_this_machine_does_not_see_itself(seen: Seen) -> None:
    await seen.see("me")
    assert seen.source.sightings() == []
    assert seen.told == []


async def test_the_latest_sighting_of_a_node_counts(seen: Seen) -> None:
    await seen.see("a", port=1)
    await seen.see("a", port=2)
    (sighting,) = seen.source.sightings()
    assert sighting.endpoints == (Endpoint("192.0.2.1", 2),)


async def test_the_longest_unseen_makes_room(seen: Seen) -> None:
    await seen.see(*(str(number) for number in range(MAX_SEEN)))
    await seen.see("0", "new")
    nodes = [sighting.node for sighting in seen.source.sightings()]
    assert len(nodes) == MAX_SEEN
    assert "1" not in nodes
    assert nodes[-2:] == ["0", "new"]


async def test_endpoints_are_those_of_the_pool_that_is_asked_for(seen: Seen) -> None:
    await seen.see("a", pool=id_text(POOL), port=1)
    await seen.see("b", pool="another", port=2)
    assert await seen.source.endpoints(POOL) == [Endpoint("192.0.2.1", 1)]
    assert await seen.source.endpoints(None) == [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.1", 2)]


async def test_an_announcement_can_be_taken_back(seen: Seen) -> None:
    await seen.source.announce("pool", "me", 1, "anna", ["192.0.2.1"])
    assert seen.mdns.announced == ["pool"]
    await seen.source.withdraw()
    assert seen.mdns.announced == []

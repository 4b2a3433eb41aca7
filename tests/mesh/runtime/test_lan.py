"""Sightings on the local network, the latest of each node, as many as the bound."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from mesh.net.discovery.mdns import Sighting
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.lan import MAX_SEEN, Neighbours
from mesh.wire.endpoint import Endpoint
from tests.mesh.machines import QuietMdns


class Seen:
    def __init__(self) -> None:
        self.mdns = QuietMdns()
        self.changes = ChangeSignal()
        self.neighbours = Neighbours(self.mdns, "me", self.changes)

    async def see(self, *nodes: str, pool: str = "pool", port: int = 1) -> None:
        for node in nodes:
            await self.mdns.see.send(Sighting(pool, node, node, "1", (Endpoint("192.0.2.1", port),)))
        await wait_all_tasks_blocked()


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    seen = Seen()
    async with trio.open_nursery() as nursery:
        await nursery.start(seen.neighbours.run)
        yield seen
        nursery.cancel_scope.cancel()


async def test_what_is_seen_is_kept_and_told(seen: Seen) -> None:
    await seen.see("a", "b")
    assert [sighting.node for sighting in seen.neighbours.seen()] == ["a", "b"]
    assert seen.changes.count == 2


async def test_this_machine_does_not_see_itself(seen: Seen) -> None:
    await seen.see("me")
    assert seen.neighbours.seen() == []
    assert seen.changes.count == 0


async def test_the_latest_sighting_of_a_node_counts(seen: Seen) -> None:
    await seen.see("a", port=1)
    await seen.see("a", port=2)
    (sighting,) = seen.neighbours.seen()
    assert sighting.endpoints == (Endpoint("192.0.2.1", 2),)


async def test_the_longest_unseen_makes_room(seen: Seen) -> None:
    await seen.see(*(str(number) for number in range(MAX_SEEN)))
    await seen.see("0", "new")
    nodes = [sighting.node for sighting in seen.neighbours.seen()]
    assert len(nodes) == MAX_SEEN
    assert "1" not in nodes
    assert nodes[-2:] == ["0", "new"]


async def test_an_announcement_can_be_taken_back(seen: Seen) -> None:
    await seen.neighbours.announce("pool", "me", 1, "anna", ["192.0.2.1"])
    assert seen.mdns.announced == ["pool"]
    await seen.neighbours.withdraw()
    assert seen.mdns.announced == []

"""The local network as a discovery source: nodes announce themselves there by multicast DNS."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import trio

from mesh.net.discovery.discovery_source import DiscoverySource, Sighting
from mesh.net.discovery.mdns import Mdns
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId, id_text

MAX_SEEN = 256


class LanSource(DiscoverySource):
    """Keeps the latest sighting of each node, at most 256; leaves out ``own``, which is this node's id."""

    name = "local network"
    announces = True

    def __init__(self, mdns: Mdns, own: str) -> None:
        self._mdns = mdns
        self._own = own
        self._seen: OrderedDict[str, Sighting] = OrderedDict()

    async def run(
        self,
        seen: Callable[[Sighting], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._mdns.run)
            task_status.started()
            async for sighting in self._mdns.sightings:
                if sighting.node != self._own:
                    self._keep(sighting)
                    seen(sighting)

    def _keep(self, sighting: Sighting) -> None:
        self._seen[sighting.node] = sighting
        self._seen.move_to_end(sighting.node)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    async def endpoints(self, pool: PoolId | None) -> list[Endpoint]:
        wanted = None if pool is None else id_text(pool)
        return [one for seen in self.sightings() if wanted in (None, seen.pool) for one in seen.endpoints]

    def sightings(self) -> list[Sighting]:
        return list(self._seen.values())

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        await self._mdns.announce(pool, node, port, name, addresses)

    async def withdraw(self) -> None:
        await self._mdns.withdraw()

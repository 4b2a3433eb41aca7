"""Pools seen on the local network, kept for whoever asks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import trio

from mesh.net.discovery.mdns import Mdns, Sighting
from mesh.runtime.change_signal import ChangeSignal

MAX_SEEN = 256


class Neighbours:
    """The latest sighting of each node on the local network, this one left out."""

    def __init__(self, mdns: Mdns, own: str, changes: ChangeSignal) -> None:
        self.on_sighting: Callable[[Sighting], None] | None = None
        """Called with each sighting at once; set by the pool that this machine is in."""

        self._mdns = mdns
        self._own = own
        self._changes = changes
        self._seen: OrderedDict[str, Sighting] = OrderedDict()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._mdns.run)
            task_status.started()
            async for sighting in self._mdns.sightings:
                if sighting.node != self._own:
                    self._seen[sighting.node] = sighting
                    self._seen.move_to_end(sighting.node)
                    if len(self._seen) > MAX_SEEN:
                        self._seen.popitem(last=False)
                    if self.on_sighting is not None:
                        self.on_sighting(sighting)
                    self._changes.notify()

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        await self._mdns.announce(pool, node, port, name, addresses)

    async def withdraw(self) -> None:
        await self._mdns.withdraw()

    def seen(self) -> list[Sighting]:
        return list(self._seen.values())

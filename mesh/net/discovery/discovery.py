"""All discovery sources of a node, as one: each question goes to all of them, in their order."""

import logging
from collections.abc import Callable, Sequence

import trio

from mesh.net.discovery.discovery_source import DiscoverySource, Ownership, Sighting
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId

log = logging.getLogger(__name__)


class Discovery:
    """``changed`` is called with each announcement that comes in."""

    def __init__(self, sources: Sequence[DiscoverySource], changed: Callable[[], None]) -> None:
        self.sources = tuple(sources)
        self.on_sighting: Callable[[Sighting], None] | None = None
        """Called with each announcement at once; attached by the stay in a pool."""

        self._changed = changed

    @property
    def owning(self) -> list[tuple[DiscoverySource, Ownership]]:
        """The sources that can prove which owner a machine has."""
        return [(one, one.ownership) for one in self.sources if one.ownership is not None]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch all of them until cancelled."""
        async with trio.open_nursery() as nursery:
            for source in self.sources:
                await nursery.start(source.run, self._seen)
            task_status.started()

    def _seen(self, sighting: Sighting) -> None:
        if self.on_sighting is not None:
            self.on_sighting(sighting)
        self._changed()

    async def endpoints(self, pool: PoolId | None, *, alone: bool = False) -> list[Endpoint]:
        """Where members of ``pool`` may listen; ``alone``: this node knows none of them."""
        asked = [source for source in self.sources if alone or not source.last_resort]
        return [endpoint for source in asked for endpoint in await endpoints_of(source, pool)]

    def sightings(self) -> list[Sighting]:
        """The announcements that are seen at present."""
        return [sighting for source in self.sources for sighting in source.sightings()]

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        """Announce this node through every source that can."""
        for source in self.sources:
            await source.announce(pool, node, port, name, addresses)

    async def withdraw(self) -> None:
        """Take every announcement back."""
        for source in self.sources:
            await source.withdraw()

    def remember(self, pool: PoolId, endpoints: Sequence[Endpoint]) -> None:
        """Tell every source where other members are. Raises MeshError when a source cannot keep that."""
        for source in self.sources:
            source.remember(pool, endpoints)


async def endpoints_of(source: DiscoverySource, pool: PoolId | None) -> Sequence[Endpoint]:
    """What one source says; nothing while it cannot be asked."""
    try:
        return await source.endpoints(pool)
    except MeshError as error:
        log.debug("%s: %s", source.name, error)
        return ()

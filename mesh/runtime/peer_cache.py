"""A discovery source: the addresses of the other members when this node ran last."""

from collections.abc import Sequence
from contextlib import suppress

from mesh.net.discovery.discovery_source import DiscoverySource
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId, id_text


class CachedPeers(DiscoverySource):
    """Kept in ``peers.json``, for the latest pool alone. ``port`` completes entries without one."""

    name = "cache of peers"
    last_resort = True

    def __init__(self, state: StateDir, port: int) -> None:
        self._state = state
        self._port = port

    async def endpoints(self, pool: PoolId | None) -> list[Endpoint]:
        kept = None if pool is None else self._state.load("peers").get(id_text(pool))
        peers = []
        for text in kept if isinstance(kept, list) else ():
            with suppress(MeshError):
                peers.append(Endpoint.parse(str(text), self._port))
        return peers

    def remember(self, pool: PoolId, endpoints: Sequence[Endpoint]) -> None:
        self._state.save("peers", {id_text(pool): [str(endpoint) for endpoint in endpoints]})

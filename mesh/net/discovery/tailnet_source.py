"""The tailnet as a discovery source: it knows its machines by name, and the owner of each."""

from collections.abc import Sequence

from mesh.net.addresses import is_loopback
from mesh.net.discovery.discovery_source import DiscoverySource, OwnerCheck
from mesh.net.discovery.tailnet import candidates, same_owner
from mesh.net.discovery.tailscale import Tailscale
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId


class TailnetSource(DiscoverySource):
    """Asks this machine's tailscaled, and proves ownership by it.

    It does not know a machine's pool and port, so every machine counts, at each of ``ports``.
    """

    name = "tailnet"

    def __init__(self, tailscale: Tailscale, ports: Sequence[int]) -> None:
        self.ownership = self
        self._tailscale = tailscale
        self._ports = tuple(dict.fromkeys(ports))

    async def endpoints(self, pool: PoolId | None) -> list[Endpoint]:
        peers = candidates(await self._tailscale.status())
        return [Endpoint(peer.addresses[0], port) for peer in peers for port in self._ports]

    async def check_owner(self, remote: Endpoint) -> OwnerCheck | None:
        status, whois = await self._tailscale.status(), await self._tailscale.whois(remote)
        if whois is None or (is_loopback(remote.host) and not await self._tailscale.may_bring(remote.port)):
            return None
        same, reason = same_owner(status, whois)
        return OwnerCheck(same, whois.name, reason)

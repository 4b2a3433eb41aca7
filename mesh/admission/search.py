"""`mesh join`: where a machine without a pool looks for one, in which order, and when it founds its own.

Of machines that start at the same moment on one tailnet exactly one founds: each listens before it knocks, so
of any two at least one hears the other searching, and the one with the lower would-be pool id goes first.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

from mesh.admission.handshake import AdmissionClient, AdmissionRefused, Admitted, Uninvited
from mesh.admission.invites import Token
from mesh.admission.pool_names import pool_name
from mesh.control.sidecar_options import DEFAULT_PORT
from mesh.net.discovery.mdns import Sighting
from mesh.net.discovery.tailnet import TailnetStatus, candidates, same_owner
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.net.streams import Streams
from mesh.runtime.lan import Neighbours
from mesh.runtime.node_context import NodeContext
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, PoolId, id_text, parse_id, pool_id

log = logging.getLogger(__name__)

SEARCH_SECONDS = 5.0
LAN_SECONDS = 1.5
ROUND_SECONDS = 0.5
KNOCK_SECONDS = 1.0
KNOCKS_AT_ONCE = 16
TOKEN_SECONDS = 20.0
INVITED = "get an invite there with mesh invite, then mesh join TOKEN; or found another: mesh join --found"

Say = Callable[[str], Awaitable[None]]


@dataclass
class Search:
    """What a joiner has to look with."""

    identity: Identity
    name: str
    port: int
    streams: Streams
    tailscale: Tailscale | None
    neighbours: Neighbours
    say: Say
    refusals: dict[str, AdmissionRefused] = field(default_factory=dict)

    @classmethod
    def of(cls, machine: NodeContext, say: Say) -> "Search":
        name, port = machine.options.name, machine.port
        return cls(machine.identity, name, port, machine.streams, machine.tailscale, machine.neighbours, say)

    async def by_token(self, token: Token) -> Admitted:
        """Ask members of the token's pool, at its hints and wherever it is seen, until one says yes."""
        await self.say(f"looking for pool {id_text(token.pool)[:8]}")
        failures: dict[Endpoint, MeshError] = {}
        with trio.move_on_after(TOKEN_SECONDS):
            while True:
                for endpoint in dict.fromkeys([*token.hints, *self._lan(token), *await self._tailnet()]):
                    try:
                        return await self._ask(endpoint, token)
                    except AdmissionRefused:
                        raise
                    except MeshError as error:
                        failures[endpoint] = error
                await trio.sleep(ROUND_SECONDS)
        tried = "; ".join(error.message for error in list(failures.values())[:4])
        raise MeshError(
            f"no member of the token's pool answers ({tried or 'no address to try'})",
            "is a machine of the pool running and reachable from here? or try mesh join HOST",
        )

    async def by_host(self, endpoint: Endpoint, token: Token | None) -> Admitted:
        await self.say(f"asking {endpoint}")
        with trio.move_on_after(SEARCH_SECONDS + KNOCK_SECONDS):
            while True:
                try:
                    return await self._ask(endpoint, token, SEARCH_SECONDS)
                except AdmissionRefused as refused:
                    if "joining a pool itself" not in refused.message:
                        raise
                    await trio.sleep(ROUND_SECONDS)
        raise MeshError(f"{endpoint} does not answer", "is mesh running there, and its port reachable?")

    async def pool_at(self, endpoint: Endpoint) -> PoolId | None:
        """The pool that the machine at ``endpoint`` is in, if any; MeshError when it does not answer."""
        client = await self._knock(endpoint, SEARCH_SECONDS)
        await client.aclose()
        return client.greeting.pool if client.greeting.state == "member" else None

    async def by_tailnet(self) -> Admitted | None:
        """A pool of this owner on the tailnet. None: there is none, and this machine is to found it."""
        if self.tailscale is None:
            return None
        await self.say("searching the tailnet")
        try:
            await self.tailscale.status()
        except TailscaleError as error:
            await self.say(f"the tailnet cannot be searched: {error}")
            return None
        mine = pool_id(self.identity.public_key)
        with trio.move_on_after(SEARCH_SECONDS):
            while True:
                searching = False
                async with self._clients(await self._tailnet()) as clients:
                    for client in sorted(
                        clients, key=lambda client: (client.greeting.alone, client.greeting.pool)
                    ):
                        if client.greeting.state == "member":
                            try:
                                admitted = await self._enter(client, None)
                                await self._check_owner(client)
                                return admitted
                            except MeshError as error:
                                log.info("%s: %s", client.session.remote, error)
                        else:
                            searching |= client.greeting.state == "moving" or client.greeting.pool < mine
                if not searching:
                    return None
                await trio.sleep(ROUND_SECONDS)
        return None

    def check_refusals(self) -> None:
        """A pool of the tailnet that said no is a reason to stop: founding another is hardly meant."""
        for where, refused in self.refusals.items():
            hint = f"{refused.hint}; or found a pool of your own: mesh join --found"
            raise AdmissionRefused(f"{where} does not admit this machine: {refused.message}", hint)

    async def anywhere(self) -> Admitted | None:
        """With nothing typed: the tailnet, then the local network. None: this machine is to found a pool.

        Raises Refused for a pool that said no, `Uninvited` for those that are seen and admit by invite.
        """
        admitted = await self._asked_tailnet()
        if admitted is None:
            seen = await self.seen_on_lan()
            # Meanwhile another machine of the tailnet may have founded what was just seen, or would be soon.
            admitted = await self._asked_tailnet()
            if admitted is None and seen:
                pools = ", ".join(f"{_pool_of(sighting)} (at {sighting.name})" for sighting in seen[:4])
                raise Uninvited(f"there is a pool on this network: {pools}", INVITED)
        return admitted

    async def _asked_tailnet(self) -> Admitted | None:
        admitted = await self.by_tailnet()
        if admitted is None:
            self.check_refusals()
        return admitted

    async def seen_on_lan(self) -> list[Sighting]:
        """One sighting of each pool that announces itself on the local network."""
        await self.say("searching the local network")
        await trio.sleep(LAN_SECONDS)
        return list({sighting.pool: sighting for sighting in self.neighbours.seen()}.values())

    async def _check_owner(self, client: AdmissionClient) -> None:
        """Nothing was typed: a pool is entered only if tailscaled says that its owner is ours."""
        assert self.tailscale is not None
        status, whois = await self.tailscale.status(), await self.tailscale.whois(client.session.remote)
        same, reason = (False, "is nobody's") if whois is None else same_owner(status, whois)
        if not same:
            refused = AdmissionRefused(f"it {reason}", "to join it all the same: mesh join HOST")
            self.refusals[client.greeting.name] = refused
            raise refused

    async def better_pool(self) -> AdmissionClient | None:
        """For a founder still alone: the door of a pool that it should move to. The caller closes it."""
        mine = pool_id(self.identity.public_key)
        best: AdmissionClient | None = None
        async with self._clients(await self._tailnet()) as clients:
            for client in clients:
                greeting = client.greeting
                if (
                    greeting.state != "member"
                    or greeting.pool == mine
                    or (greeting.alone and greeting.pool > mine)
                ):
                    continue
                if best is not None and greeting.pool > best.greeting.pool:
                    continue
                with suppress(MeshError):
                    await self._check_owner(client)
                    best = client
            if best is not None:
                clients.remove(best)
        return best

    # --- one door ---------------------------------------------------------------------------------

    async def _ask(
        self, endpoint: Endpoint, token: Token | None, patience: float = KNOCK_SECONDS
    ) -> Admitted:
        client = await self._knock(endpoint, patience)
        try:
            return await self._enter(client, token)
        finally:
            await client.aclose()

    async def _enter(self, client: AdmissionClient, token: Token | None) -> Admitted:
        where = f"{client.greeting.name} ({client.session.remote})"
        await self.say(f"asking {where}")
        try:
            with trio.fail_after(10.0):
                return await client.ask(self.identity, self.name, token)
        except trio.TooSlowError as error:
            raise MeshError(f"{where} does not answer") from error
        except AdmissionRefused as refused:
            self.refusals[where] = refused
            raise

    async def _knock(self, endpoint: Endpoint, patience: float = KNOCK_SECONDS) -> AdmissionClient:
        try:
            with trio.fail_after(patience):
                return await AdmissionClient.knock(self.streams, endpoint)
        except trio.TooSlowError as error:
            raise MeshError(
                f"{endpoint} does not answer", "is mesh running there, and its port reachable?"
            ) from error

    @asynccontextmanager
    async def _clients(self, endpoints: Sequence[Endpoint]) -> AsyncIterator[list[AdmissionClient]]:
        """Knock everywhere at once; the doors that opened, all closed again in the end."""
        clients: list[AdmissionClient] = []
        limit = trio.CapacityLimiter(KNOCKS_AT_ONCE)

        async def knock(endpoint: Endpoint) -> None:
            async with limit:
                try:
                    clients.append(await self._knock(endpoint))
                except MeshError as error:
                    log.debug("nobody at %s: %s", endpoint, error)

        async with trio.open_nursery() as nursery:
            for endpoint in endpoints:
                nursery.start_soon(knock, endpoint)
        try:
            yield clients
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                for client in clients:
                    await client.aclose()

    # --- where to look ----------------------------------------------------------------------------

    async def _tailnet(self) -> list[Endpoint]:
        if self.tailscale is None:
            return []
        try:
            status = await self.tailscale.status()
        except TailscaleError as error:
            log.debug("tailnet: %s", error)
            return []
        return tailnet_endpoints(status, self.port)

    def _lan(self, token: Token) -> Sequence[Endpoint]:
        return self.lan_endpoints().get(token.pool, ())

    def lan_endpoints(self) -> dict[PoolId | None, list[Endpoint]]:
        """Where members of each pool announce themselves on the local network."""
        clients: dict[PoolId | None, list[Endpoint]] = {}
        for sighting in self.neighbours.seen():
            with suppress(MeshError):
                clients.setdefault(PoolId(parse_id(sighting.pool)), []).extend(sighting.endpoints)
        return clients


def tailnet_endpoints(status: TailnetStatus, port: int) -> list[Endpoint]:
    """Where the tailnet's machines may have a door: at the usual port, and at this machine's own."""
    ports = dict.fromkeys((DEFAULT_PORT, port))
    return [Endpoint(peer.addresses[0], one) for peer in candidates(status) for one in ports]


def _pool_of(sighting: Sighting) -> str:
    try:
        return pool_name(PoolId(parse_id(sighting.pool)))
    except MeshError:
        return "unnamed"

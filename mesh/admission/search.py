"""`mesh join`: where a machine without a pool looks for one, in which order, and when it founds its own.

Of one owner's machines that start at the same moment exactly one founds: each listens before it knocks, so
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
from mesh.net.discovery.discovery import Discovery, endpoints_of
from mesh.net.discovery.discovery_source import DiscoverySource, Ownership, Sighting
from mesh.net.streams import Streams
from mesh.runtime.node_context import NodeContext
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, PoolId, id_text, parse_id, pool_id

log = logging.getLogger(__name__)

SEARCH_SECONDS = 5.0
LISTEN_SECONDS = 1.5
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
    streams: Streams
    discovery: Discovery
    say: Say
    refusals: dict[str, AdmissionRefused] = field(default_factory=dict)

    @classmethod
    def of(cls, context: NodeContext, say: Say) -> "Search":
        return cls(context.identity, context.options.name, context.streams, context.discovery, say)

    async def by_token(self, token: Token) -> Admitted:
        """Ask members of the token's pool, at its hints and wherever it is seen, until one says yes."""
        await self.say(f"looking for pool {id_text(token.pool)[:8]}")
        failures: dict[Endpoint, MeshError] = {}
        with trio.move_on_after(TOKEN_SECONDS):
            while True:
                found = await self.discovery.endpoints(token.pool)
                for endpoint in dict.fromkeys([*token.hints, *found]):
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

    async def by_owner(self) -> Admitted | None:
        """A pool of this owner, as a source proves. None: there is none, and this machine is to found it."""
        for source, ownership in self.discovery.owning:
            await self.say(f"searching the {source.name}")
            try:
                await source.endpoints(None)
            except MeshError as error:
                await self.say(f"the {source.name} cannot be searched: {error}")
                continue
            with trio.move_on_after(SEARCH_SECONDS):
                admitted = await self._enter_owned(source, ownership)
                if admitted is not None:
                    return admitted
        return None

    async def _enter_owned(self, source: DiscoverySource, ownership: Ownership) -> Admitted | None:
        """The same by one source, until no other machine searches that founds first."""
        mine = pool_id(self.identity.public_key)
        while True:
            searching = False
            async with self._clients(await endpoints_of(source, None)) as clients:
                for client in sorted(
                    clients, key=lambda client: (client.greeting.alone, client.greeting.pool)
                ):
                    if client.greeting.state == "member":
                        try:
                            admitted = await self._enter(client, None)
                            await self._check_owner(ownership, client)
                            return admitted
                        except MeshError as error:
                            log.info("%s: %s", client.session.remote, error)
                    else:
                        searching |= client.greeting.state == "moving" or client.greeting.pool < mine
            if not searching:
                return None
            await trio.sleep(ROUND_SECONDS)

    def check_refusals(self) -> None:
        """A pool that may be this owner's and said no is a reason to stop: nobody means to found another."""
        for where, refused in self.refusals.items():
            hint = f"{refused.hint}; or found a pool of your own: mesh join --found"
            raise AdmissionRefused(f"{where} does not admit this machine: {refused.message}", hint)

    async def anywhere(self) -> Admitted | None:
        """With nothing typed: pools of this owner, then those announced. None: this machine is to found one.

        Raises Refused for a pool that said no, `Uninvited` for those that are seen and admit by invite.
        """
        admitted = await self._asked_own()
        if admitted is None:
            seen = await self.seen_nearby()
            # Meanwhile another machine of this owner may have founded what was just seen, or would be soon.
            admitted = await self._asked_own()
            if admitted is None and seen:
                pools = ", ".join(f"{_pool_of(sighting)} (at {sighting.name})" for sighting in seen[:4])
                raise Uninvited(f"there is a pool on this network: {pools}", INVITED)
        return admitted

    async def _asked_own(self) -> Admitted | None:
        admitted = await self.by_owner()
        if admitted is None:
            self.check_refusals()
        return admitted

    async def seen_nearby(self) -> list[Sighting]:
        """One sighting of each pool that announces itself, after a moment of listening."""
        for source in self.discovery.sources:
            if source.announces:
                await self.say(f"searching the {source.name}")
        await trio.sleep(LISTEN_SECONDS)
        return list({sighting.pool: sighting for sighting in self.discovery.sightings()}.values())

    async def better_pool(self) -> AdmissionClient | None:
        """For a founder still alone: the door of a pool that it should move to. The caller closes it."""
        for source, ownership in self.discovery.owning:
            async with self._clients(await endpoints_of(source, None)) as clients:
                best: AdmissionClient | None = None
                for client in clients:
                    if not self._is_better(client) or (best and client.greeting.pool > best.greeting.pool):
                        continue
                    with suppress(MeshError):
                        await self._check_owner(ownership, client)
                        best = client
                if best is not None:
                    clients.remove(best)
                    return best
        return None

    def _is_better(self, client: AdmissionClient) -> bool:
        """Whether a founder still alone goes there, as far as the greeting tells."""
        mine, greeting = pool_id(self.identity.public_key), client.greeting
        if greeting.state != "member" or greeting.pool == mine:
            return False
        return not (greeting.alone and greeting.pool > mine)

    async def _check_owner(self, ownership: Ownership, client: AdmissionClient) -> None:
        """Nothing was typed: a pool is entered only if this machine's own source proves its owner."""
        found = await ownership.check_owner(client.session.remote)
        if found is None or not found.same:
            reason = "is nobody's" if found is None else found.reason
            refused = AdmissionRefused(f"it {reason}", "to join it all the same: mesh join HOST")
            self.refusals[client.greeting.name] = refused
            raise refused

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

    def lan_endpoints(self) -> dict[PoolId | None, list[Endpoint]]:
        """Where members of each pool announce themselves."""
        clients: dict[PoolId | None, list[Endpoint]] = {}
        for sighting in self.discovery.sightings():
            with suppress(MeshError):
                clients.setdefault(PoolId(parse_id(sighting.pool)), []).extend(sighting.endpoints)
        return clients


def _pool_of(sighting: Sighting) -> str:
    try:
        return pool_name(PoolId(parse_id(sighting.pool)))
    except MeshError:
        return "unnamed"

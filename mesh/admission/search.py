"""`mesh join`: where a machine without a pool looks for one, in which order, and when it founds its own.

Of one owner's machines that start at the same moment exactly one founds. Each listens before it asks, so of
any two at least one sees the other searching; the one with the lower would-be pool id goes first.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn

import trio

from mesh.admission.handshake import AdmissionClient, AdmissionRefused, Admitted, Uninvited
from mesh.admission.invites import Token
from mesh.admission.pool_names import pool_name
from mesh.net.discovery.discovery import Discovery, endpoints_of
from mesh.net.discovery.discovery_source import DiscoverySource, Ownership, Sighting
from mesh.net.session import StreamRefused
from mesh.net.streams import Streams
from mesh.net.versions_preface import OtherVersion, ProgramVersion
from mesh.runtime.node_context import NodeContext
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, PoolId, id_text, parse_id, pool_id

log = logging.getLogger(__name__)

SEARCH_SECONDS = 5.0
LISTEN_SECONDS = 1.5
ROUND_SECONDS = 0.5
CONNECT_SECONDS = 1.0
CONNECTS_AT_ONCE = 16
TOKEN_SECONDS = 20.0
ANOTHER = "or found another: mesh join --found"
INVITED = f"get an invite there with mesh invite, then mesh join TOKEN; {ANOTHER}"

Say = Callable[[str], Awaitable[None]]


@dataclass
class Search:
    """What an applicant searches with."""

    identity: Identity
    name: str
    streams: Streams
    discovery: Discovery
    say: Say
    refusals: dict[str, AdmissionRefused] = field(default_factory=dict)
    unspoken: dict[Endpoint, OtherVersion] = field(default_factory=dict)
    """Where machines that may be this owner's have no wire version in common with this one."""

    @classmethod
    def of(cls, context: NodeContext, say: Say) -> "Search":
        return cls(context.identity, context.options.name, context.streams, context.discovery, say)

    async def by_token(self, token: Token) -> Admitted:
        """Ask members of the token's pool, at its hints and wherever discovery sees it, until one admits.

        Raises `OtherVersion` as soon as all of them that answer speak no wire version of this machine.
        """
        await self.say(f"looking for pool {id_text(token.pool)[:8]}")
        failures: dict[Endpoint, MeshError] = {}
        with trio.move_on_after(TOKEN_SECONDS):
            while True:
                announced = self._announced_unspoken(token.pool)
                failures.update(announced)
                found = await self.discovery.endpoints(token.pool)
                places = [*token.hints, *(one for one in found if one not in announced)]
                for endpoint in dict.fromkeys(places):
                    try:
                        return await self._ask(endpoint, token)
                    except AdmissionRefused:
                        raise
                    except MeshError as error:
                        failures[endpoint] = error
                _check_versions(failures, [*token.hints, *announced])
                await trio.sleep(ROUND_SECONDS)
        tried = "; ".join(error.message for error in list(failures.values())[:4])
        raise MeshError(
            f"no member of the token's pool answers ({tried or 'no address to try'})",
            "is a machine of the pool running and reachable from here? or try mesh join HOST",
        )

    async def by_host(self, endpoint: Endpoint, token: Token | None) -> Admitted:
        await self.say(f"asking {endpoint}")
        with trio.move_on_after(SEARCH_SECONDS + CONNECT_SECONDS):
            while True:
                try:
                    return await self._ask(endpoint, token, SEARCH_SECONDS)
                except AdmissionRefused as refused:
                    if "joining a pool itself" not in refused.message:
                        raise
                    await trio.sleep(ROUND_SECONDS)
        raise MeshError(f"{endpoint} does not answer", "is mesh running there, and its port reachable?")

    async def pool_at(self, endpoint: Endpoint) -> PoolId | None:
        """The pool of the machine at ``endpoint``, if any; MeshError when it does not answer."""
        client = await self._connect(endpoint, SEARCH_SECONDS)
        await client.aclose()
        return client.greeting.pool if client.greeting.state == "member" else None

    async def by_owner(self) -> Admitted | None:
        """Enter a pool whose owner a source proves to be this one's. None: there is none; found it here."""
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
        """Do so by one source, until no other machine that would found first searches."""
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
        """Raise the refusal of a pool that may be this owner's: the person hardly means to found another.

        A machine with which this one has no wire version in common counts as such a pool's.
        """
        for other in self.unspoken.values():
            raise other.of(other.where, ANOTHER)
        for where, refused in self.refusals.items():
            hint = f"{refused.hint}; or found a pool of your own: mesh join --found"
            raise AdmissionRefused(f"{where} does not admit this machine: {refused.message}", hint)

    async def anywhere(self) -> Admitted | None:
        """Without arguments: try pools of this owner, then announced ones. None: found one here.

        Raises AdmissionRefused for a pool that refused, `Uninvited` for pools that are seen and admit by
        invite, `OtherVersion` where this machine cannot speak with any that is seen.
        """
        admitted = await self._asked_own()
        if admitted is None:
            seen = await self.seen_nearby()
            # Meanwhile another machine of this owner may have founded the pool just seen, or is about to.
            admitted = await self._asked_own()
            if admitted is None and seen:
                await self._refuse_seen(seen)
        return admitted

    async def _refuse_seen(self, seen: Sequence[Sighting]) -> NoReturn:
        """Name the pools that are seen: those that would admit by invite, or why none can."""
        spoken = [sighting for sighting in seen if self._other_version(sighting) is None]
        others = [other for sighting in seen if (other := self._other_version(sighting)) is not None]
        if not spoken:
            raise others[0].of(others[0].where, ANOTHER)
        for other in others[:4]:
            await self.say(str(other))
        pools = ", ".join(f"{_pool_of(sighting)} (at {sighting.name})" for sighting in spoken[:4])
        raise Uninvited(f"there is a pool on this network: {pools}", INVITED)

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
        # The last one stays: of a pool's members one with which this machine can speak, if there is any.
        sightings = sorted(self.discovery.sightings(), key=lambda one: self._other_version(one) is None)
        return list({sighting.pool: sighting for sighting in sightings}.values())

    def _other_version(self, sighting: Sighting) -> OtherVersion | None:
        """Why this machine cannot speak with one that announces itself; None when it can, or may."""
        here = self.streams.here.speaks
        if sighting.speaks is None or here.common(sighting.speaks) is not None:
            return None
        where = f"{sighting.name}, of pool {_pool_of(sighting)},"
        return OtherVersion(where, ProgramVersion(sighting.speaks), here, "mesh join")

    def _announced_unspoken(self, pool: PoolId) -> dict[Endpoint, OtherVersion]:
        """Where members of ``pool`` announce that they speak no wire version of this machine's."""
        return {
            endpoint: other
            for sighting in self.discovery.sightings()
            if sighting.pool == id_text(pool) and (other := self._other_version(sighting)) is not None
            for endpoint in sighting.endpoints
        }

    async def better_pool(self) -> AdmissionClient | None:
        """For a founder still alone: a client of a pool that it should move to. The caller closes it."""
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
        """Whether a founder still alone should go there, as far as the greeting says."""
        mine, greeting = pool_id(self.identity.public_key), client.greeting
        if greeting.state != "member" or greeting.pool == mine:
            return False
        return not (greeting.alone and greeting.pool > mine)

    async def _check_owner(self, ownership: Ownership, client: AdmissionClient) -> None:
        """Without arguments, enter a pool only if this machine's own source proves its owner."""
        found = await ownership.check_owner(client.session.remote)
        if found is None or not found.same:
            reason = "is nobody's" if found is None else found.reason
            refused = AdmissionRefused(f"it {reason}", "to join it all the same: mesh join HOST")
            self.refusals[client.greeting.name] = refused
            raise refused

    # --- one member -------------------------------------------------------------------------------

    async def _ask(
        self, endpoint: Endpoint, token: Token | None, patience: float = CONNECT_SECONDS
    ) -> Admitted:
        client = await self._connect(endpoint, patience)
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
            raise MeshError(
                f"{where} does not answer", "try again, or ask another machine of the pool"
            ) from error
        except AdmissionRefused as refused:
            self.refusals[where] = refused
            raise

    async def _connect(self, endpoint: Endpoint, patience: float = CONNECT_SECONDS) -> AdmissionClient:
        try:
            with trio.fail_after(patience):
                return await AdmissionClient.connect(self.streams, endpoint)
        except trio.TooSlowError as error:
            raise MeshError(
                f"{endpoint} does not answer", "is mesh running there, and its port reachable?"
            ) from error

    @asynccontextmanager
    async def _clients(self, endpoints: Sequence[Endpoint]) -> AsyncIterator[list[AdmissionClient]]:
        """Connect to all at once; yield the clients that answered, and close them all in the end."""
        clients: list[AdmissionClient] = []
        limit = trio.CapacityLimiter(CONNECTS_AT_ONCE)

        async def connect(endpoint: Endpoint) -> None:
            async with limit:
                try:
                    clients.append(await self._connect(endpoint))
                    self.unspoken.pop(endpoint, None)
                except OtherVersion as error:
                    self.unspoken[endpoint] = error
                except MeshError as error:
                    log.debug("no admission server at %s: %s", endpoint, error)

        async with trio.open_nursery() as nursery:
            for endpoint in endpoints:
                nursery.start_soon(connect, endpoint)
        try:
            yield clients
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                for client in clients:
                    await client.aclose()

    def lan_endpoints(self) -> dict[PoolId | None, list[Endpoint]]:
        """Addresses at which members of each pool announce themselves that this machine can speak with."""
        endpoints: dict[PoolId | None, list[Endpoint]] = {}
        for sighting in self.discovery.sightings():
            if self._other_version(sighting) is not None:
                continue
            with suppress(MeshError):
                endpoints.setdefault(PoolId(parse_id(sighting.pool)), []).extend(sighting.endpoints)
        return endpoints


def _check_versions(failures: Mapping[Endpoint, MeshError], places: Sequence[Endpoint]) -> None:
    """Raise the OtherVersion of a member at ``places``, unless somebody else refuses for a moment alone."""
    others = [error for place in places if isinstance(error := failures.get(place), OtherVersion)]
    refused = [error for error in failures.values() if isinstance(error, StreamRefused)]
    if others and all(isinstance(error, OtherVersion) for error in refused):
        raise others[0]


def _pool_of(sighting: Sighting) -> str:
    try:
        return pool_name(PoolId(parse_id(sighting.pool)))
    except MeshError:
        return "unnamed"

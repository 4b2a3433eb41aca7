"""Machines on loopback that know no pool yet: each has a key, a disk, streams and a door of its own.

All of a `Ground` share one port number on addresses of their own, as machines do that run the mesh with its
default port. A pretended tailnet says whose they are.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import trio

from mesh.admission.handshake import Admitted
from mesh.admission.invites import Token
from mesh.admission.pool_names import pool_name
from mesh.admission.search import Search
from mesh.control.sidecar_options import NodeOptions
from mesh.engine.devices import processor_alone
from mesh.engine.types import Engine
from mesh.member.attachment import Attachment
from mesh.member.greeter import Greeter
from mesh.member.stay import Stay
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.discovery_source import DiscoverySource, Sighting
from mesh.net.discovery.mdns import Mdns
from mesh.net.discovery.tailnet import TailnetPeer, TailnetStatus, Whois
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.net.port import BoundPort, bind_port
from mesh.protocol.node.node import Node
from mesh.root.services import Services, discovery_sources, make_services
from mesh.root.stream_table import stream_handlers
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.state import StateDir, write_durably
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Claim
from mesh.wire.identity import Identity, NodeId, PoolId, pool_id
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS, Rights

WALL_CLOCK = 1_000_000.0


def identities(count: int) -> list[Identity]:
    """Keys whose would-be pools come in this order."""
    return sorted((Identity.generate() for _ in range(count)), key=lambda one: pool_id(one.public_key))


@dataclass
class Tailnet:
    """Who owns which address; ``down`` is why the daemons of all machines do not answer, if they do not."""

    owners: dict[str, str] = field(default_factory=dict)
    down: str = ""


class Daemon(Tailscale):
    """A machine's tailscaled, as far as the mesh asks it."""

    def __init__(self, tailnet: Tailnet, address: str) -> None:
        super().__init__(Path("no socket is opened"))
        self._tailnet = tailnet
        self._address = address

    async def status(self) -> TailnetStatus:
        await trio.lowlevel.checkpoint()
        if self._tailnet.down:
            raise TailscaleError("stopped", self._tailnet.down)
        others = [pair for pair in self._tailnet.owners.items() if pair[0] != self._address]
        peers = tuple(
            TailnetPeer(f"at {address}", (address,), user, (), True, "linux", True, False, False)
            for address, user in others
        )
        user = self._tailnet.owners.get(self._address, "")
        return TailnetStatus("Running", "me", (self._address,), user, (), peers)

    async def whois(self, endpoint: Endpoint, proto: str = "tcp") -> Whois | None:
        await trio.lowlevel.checkpoint()
        user = self._tailnet.owners.get(endpoint.host)
        return None if user is None else Whois(f"at {endpoint.host}", user, (), False, False)

    async def may_bring(self, port: int) -> bool:
        await trio.lowlevel.checkpoint()
        return True


class QuietMdns(Mdns):
    """Multicast DNS without a network; what is to be seen is put in by ``see``."""

    def __init__(self) -> None:
        super().__init__([])
        self.announced: list[str] = []
        self.see, self.sightings = trio.open_memory_channel[Sighting](1000)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        self.announced = [pool]

    async def withdraw(self) -> None:
        self.announced = []


class Here:
    """One machine. ``driver`` is its membership of a pool, None before; ``said`` is what a joiner was told.

    Its membership is a stay's without what the tests that use it do not need: gateway, leader loop, copies.
    """

    def __init__(self, services: Services, mdns: QuietMdns, endpoint: Endpoint) -> None:
        self.context = services.context
        self.admission_server = services.admission_server
        self.invites = services.invites
        self.mdns = mdns
        self.name = self.context.options.name
        self.identity = self.context.identity
        self.state = self.context.state
        self.streams = self.context.streams
        self.changes = self.context.changes
        self.tailscale = self.context.tailscale
        self.discovery = self.context.discovery
        self.endpoint = endpoint
        self.driver: NodeDriver | None = None
        self.stay: Stay | None = None
        """A whole one, in place of ``driver``, where a test begins it."""
        self.said: list[str] = []
        self.holders: list[Claim | None] = []
        self.work: WorkerLoop | None = None
        self.handlers = stream_handlers(self.admission_server, self._present)
        self.profile = Profile(name=self.name, addresses=(endpoint,), rank=1)

    @property
    def datagrams(self) -> Datagrams:
        return self.context.datagrams

    @datagrams.setter
    def datagrams(self, datagrams: Datagrams) -> None:
        self.context = replace(self.context, datagrams=datagrams)

    @property
    def id(self) -> NodeId:
        return self.identity.id

    @property
    def own_pool(self) -> PoolId:
        """The pool that it would found."""
        return pool_id(self.identity.public_key)

    @property
    def node(self) -> Node:
        assert self.driver is not None, f"{self.name} is in no pool"
        return self.driver.node

    def found(self) -> None:
        """Found a pool of one, or come back to it."""
        driver = self._driver(self.own_pool)
        if driver.node.pool is None:
            driver.do(driver.node.found)
        self._begin(driver)

    def enter(self, admitted: Admitted) -> None:
        """Become a member by the answer at some door."""
        driver = self._driver(admitted.pool)
        driver.do(driver.node.admit, admitted.chain)
        self._begin(driver)
        driver.do(driver.node.add_seeds, admitted.peers)

    def stays(self, admitted: Admitted | None = None) -> Stay:
        """A whole stay, in the pool that has admitted this machine or in one of its own; the test runs it."""
        pool = self.own_pool if admitted is None else admitted.pool
        node = self.context.node_in(pool, random.Random(7))
        peers = () if admitted is None else admitted.peers
        self.stay = stay = Stay(self.context, self.admission_server, self.invites, pool, node, peers)
        self.driver = stay.driver
        if admitted is not None:
            stay.driver.do(node.admit, admitted.chain)
        elif node.pool is None:
            stay.driver.do(node.found)
        return stay

    def invite(self, uses: int | None = 1, expires: float = 60.0, rights: Rights = ALL_RIGHTS) -> Token:
        assert self.driver is not None
        return self.invites.create(self.driver.pool, self.id, [self.endpoint], rights, expires, uses)

    def search(self) -> Search:
        async def say(text: str) -> None:
            self.said.append(text)

        return Search.of(self.context, say)

    def machine(self, engine: Engine | None, **options: Any) -> NodeContext:
        """Its context with these options; the engine comes at once, or never."""
        self.context.keeper.engine = engine
        self.context.keeper.devices = () if engine is None else processor_alone("a processor")
        return replace(self.context, options=replace(self.context.options, **options))

    def _present(self) -> Stay | None:
        # Handlers ask a stay for its parts, of which this machine has those that its test needs.
        begun = self.driver is not None or self.work is not None
        return self.stay or (cast(Stay, self) if begun else None)

    def _driver(self, pool: PoolId) -> NodeDriver:
        return NodeDriver.of(
            self.context, pool, self.context.node_in(pool, random.Random(7)), self._set_holder
        )

    def _set_holder(self, claim: Claim | None) -> None:
        self.holders.append(claim)
        if self.work is not None:
            self.work.set_holder(claim)

    def _begin(self, driver: NodeDriver) -> None:
        driver.do(driver.node.start, self.profile)
        greet = Greeter(self.discovery, driver).greet
        Attachment(
            self.context, self.admission_server, driver, pool_name(driver.pool), greet
        ).__enter__().open_admission()
        self.driver = driver


class Ground:
    """Where a test's machines stand: at most eight, their sockets bound from the start."""

    def __init__(self, nursery: trio.Nursery, folder: Path) -> None:
        self.tailnet = Tailnet()
        self._nursery = nursery
        self._folder = folder
        block = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        self._hosts = [f"{block}.{number}" for number in range(1, 9)]
        self._bound: BoundPort = bind_port(self._hosts)
        self.machines: list[Here] = []

    async def machine(
        self,
        name: str,
        owner: str | None = None,
        identity: Identity | None = None,
        sources: Sequence[DiscoverySource] = (),
    ) -> Here:
        """A machine that answers at its door; on the tailnet if it has an ``owner`` there.

        ``sources``: those by which it discovers others, beside the usual ones.
        """
        number = len(self.machines)
        endpoint = Endpoint(self._hosts[number], self._bound.port)
        daemon = None
        if owner is not None:
            self.tailnet.owners[endpoint.host] = owner
            daemon = Daemon(self.tailnet, endpoint.host)
        state = StateDir(self._folder / name)
        if identity is not None:
            write_durably(state.path / "identity.key", identity.seed)
        mdns = QuietMdns()
        services = make_services(
            NodeOptions(
                name=name, bind=endpoint.host, port=endpoint.port, api_port=0, tailscaled_socket="off"
            ),
            state,
            Datagrams([self._bound.udp[number]]),
            [endpoint.host],
            daemon,
            [*discovery_sources(state, endpoint.port, mdns, daemon), *sources],
            state.path,
            lambda: WALL_CLOCK,
        )
        here = Here(services, mdns, endpoint)
        await self._nursery.start(here.streams.serve, [self._bound.tcp[number]], here.handlers)
        await self._nursery.start(here.discovery.run)
        await self._nursery.start(here.datagrams.run)
        self.machines.append(here)
        return here

    async def acquaint(self, *machines: Here) -> None:
        """Let the nodes of these members talk to each other from now on; returns when all know all."""
        for here in machines:
            assert here.driver is not None
            await self._nursery.start(here.driver.run)
        with trio.fail_after(30):
            for here in machines:
                while len(here.node.members()) < len(machines):
                    await here.changes.wait(here.changes.count, 1)

    def close(self) -> None:
        self._bound.close()

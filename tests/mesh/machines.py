"""Machines on loopback that know no pool yet: each has a key, a disk, streams and a door of its own.

All of a `Ground` share one port number on addresses of their own, as machines do that run the mesh with its
default port. A pretended tailnet says whose they are.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from mesh.admission.admission_server import AdmissionServer
from mesh.admission.handshake import ADMIT, REDEEM, Admitted
from mesh.admission.invites import Invites, Token
from mesh.admission.pairing_lobby import APPROVE
from mesh.admission.pool_names import pool_name
from mesh.admission.search import Search
from mesh.control.sidecar_options import NodeOptions
from mesh.engine.types import Engine
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.mdns import Mdns, Sighting
from mesh.net.discovery.tailnet import TailnetPeer, TailnetStatus, Whois
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.net.gossip_streams import KIND
from mesh.net.port import BoundPort, bind_port
from mesh.net.session import Session
from mesh.net.streams import Streams
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.runtime.lan import Neighbours
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.state import StateDir
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Claim, Profile
from mesh.wire.identity import Identity, NodeId, PoolId, pool_id, verify
from mesh.wire.rights import ALL_RIGHTS, Rights

WALL_CLOCK = 1_000_000.0


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
    """One machine. ``shell`` is its stay in a pool, None before; ``said`` is what a joiner was told."""

    def __init__(
        self, name: str, identity: Identity, state: StateDir, datagrams: Datagrams, endpoint: Endpoint,
        tailscale: Tailscale | None,
    ) -> None:  # fmt: skip
        self.name = name
        self.identity = identity
        self.state = state
        self.endpoint = endpoint
        self.datagrams = datagrams
        self.streams = Streams(identity, [endpoint.host])
        self.invites = Invites(state, lambda: WALL_CLOCK)
        self.changes = ChangeSignal()
        self.mdns = QuietMdns()
        self.neighbours = Neighbours(self.mdns, "", self.changes)
        self.admission_server = AdmissionServer(identity, name, self.streams, self.invites, tailscale)
        self.tailscale = tailscale
        self.driver: NodeDriver | None = None
        self.said: list[str] = []
        self.holders: list[Claim | None] = []
        self.work: WorkerLoop | None = None
        self.handlers: dict[str, Callable[[Session], Awaitable[None]]] = {}
        self.profile = Profile(name=name, addresses=(endpoint,), rank=1)

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
        """Found a pool of one."""
        driver = self._driver(self.own_pool)
        driver.do(driver.node.found)
        self._begin(driver)

    def enter(self, admitted: Admitted) -> None:
        """Become a member by the answer at some door."""
        driver = self._driver(admitted.pool)
        driver.do(driver.node.admit, admitted.chain)
        self._begin(driver)
        driver.do(driver.node.add_seeds, admitted.peers)

    def invite(self, uses: int | None = 1, expires: float = 60.0, rights: Rights = ALL_RIGHTS) -> Token:
        assert self.driver is not None
        return self.invites.create(self.driver.pool, self.id, [self.endpoint], rights, expires, uses)

    def search(self) -> Search:
        async def say(text: str) -> None:
            self.said.append(text)

        return Search(
            self.identity, self.name, self.endpoint.port, self.streams, self.tailscale, self.neighbours, say
        )

    async def on_gossip(self, session: Session) -> None:
        if self.driver is not None:
            await self.driver.messages.handle(session)

    async def on_tunnel(self, session: Session) -> None:
        if self.work is not None:
            await self.work.handle(session)

    def machine(self, engine: Engine | None, **options: Any) -> NodeContext:
        """What the parts of a sidecar share; the engine comes at once, or never."""
        effective = NodeOptions(
            name=self.name,
            bind=self.endpoint.host,
            port=self.endpoint.port,
            api_port=0,
            tailscaled_socket="off",
        )
        keeper = EngineKeeper(self.state.path, self.changes)
        keeper.engine = engine
        return NodeContext(
            replace(effective, **options), self.state, self.identity, self.endpoint.port, self.datagrams,
            self.streams, self.tailscale, self.neighbours, keeper, self.changes,
        )  # fmt: skip

    def _driver(self, pool: PoolId) -> NodeDriver:
        node = Node(Settings(), self.identity, verify, random.Random(7), self.state.stored(pool))

        def persist(key: str, value: bytes) -> None:
            self.state.persist(pool, key, value)

        return NodeDriver(pool, node, self.datagrams, self.streams, persist, self.changes, self._set_holder)

    def _set_holder(self, claim: Claim | None) -> None:
        self.holders.append(claim)
        if self.work is not None:
            self.work.set_holder(claim)

    def _begin(self, driver: NodeDriver) -> None:
        driver.do(driver.node.start, self.profile)
        self.streams.pool = driver.pool
        self.admission_server.pool_name = pool_name(driver.pool)
        self.admission_server.driver = self.driver = driver


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

    async def machine(self, name: str, owner: str | None = None, identity: Identity | None = None) -> Here:
        """A machine that answers at its door; on the tailnet if it has an ``owner`` there."""
        number = len(self.machines)
        endpoint = Endpoint(self._hosts[number], self._bound.port)
        daemon = None
        if owner is not None:
            self.tailnet.owners[endpoint.host] = owner
            daemon = Daemon(self.tailnet, endpoint.host)
        datagrams = Datagrams([self._bound.udp[number]])
        state = StateDir(self._folder / name)
        here = Here(name, identity or Identity.generate(), state, datagrams, endpoint, daemon)
        here.handlers = {
            ADMIT: here.admission_server.handle,
            REDEEM: here.admission_server.handle_redeem,
            APPROVE: here.admission_server.handle_approve,
            KIND: here.on_gossip,
            "tunnel": here.on_tunnel,
        }
        await self._nursery.start(here.streams.serve, [self._bound.tcp[number]], here.handlers)
        await self._nursery.start(here.neighbours.run)
        await self._nursery.start(datagrams.run)
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

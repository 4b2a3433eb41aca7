"""One stay in a pool: everything that runs while this machine is a member, and stops when it leaves."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import trio

from leader.model.held_models import Models
from mesh.admission.admission_server import AdmissionServer
from mesh.admission.handshake import Admitted
from mesh.admission.invites import Invites
from mesh.admission.pool_names import pool_name
from mesh.admission.search import Search, tailnet_endpoints
from mesh.control.operations import Status
from mesh.copies.copy_manager import CopyManager
from mesh.gateway.api_key import read_api_key
from mesh.gateway.backend import NothingServed, NotReady, Serving
from mesh.gateway.http_server import serve_gateway
from mesh.gateway.upstream import not_serving
from mesh.member.drop_log import Watch
from mesh.member.own_profile import profile, told_models, worth_telling
from mesh.net.discovery.interfaces import local_addresses
from mesh.net.discovery.mdns import Sighting
from mesh.net.discovery.tailscale import TailscaleError
from mesh.net.relay import SessionStream, relay
from mesh.net.session import Session, StreamError
from mesh.protocol.base.effects import Expelled
from mesh.protocol.node.node import Node
from mesh.runtime.clock import now
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.status import current_state, status
from mesh.serving.leader_loop import LeaderLoop
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.facts import Claim, Profile
from mesh.wire.identity import PoolId, id_text
from worker.hardware import MachineMemory, default_offer, measure

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 2.0
LOOK_SECONDS = 5.0
LOOK_LONGEST = 60.0
SAVE_SECONDS = 1.0
FAREWELL_SECONDS = 1.0
REFUSAL_SECONDS = 1.0
CHANGES_SECONDS = 10.0


class Stay:
    """``run`` lasts until it is cancelled; it returns where to move when a founder has found company."""

    def __init__(
        self,
        machine: NodeContext,
        admission_server: AdmissionServer,
        invites: Invites,
        id: PoolId,
        node: Node,
        peers: Sequence[Endpoint],
    ) -> None:
        self.machine = machine
        self.admission_server = admission_server
        self.invites = invites
        self.id = id
        self.name = pool_name(id)
        self.api = ""
        self.models = Models(machine.state.path / "models.json")
        self._peers = tuple(peers)
        self._memory: MachineMemory | None = None
        self._offered = 0
        self._told: Profile | None = None
        self._admitted: Admitted | None = None
        self.work = WorkerLoop(machine, lambda: node.holder(now()))
        self.driver = NodeDriver(
            id, node, machine.datagrams, machine.streams, self._persist, machine.changes, self.work.set_holder
        )
        self.copies = CopyManager(machine, self.driver, self.models)
        self.leading = LeaderLoop(machine, self.driver, self.models, self.copies)
        self.expelled: str | None = None
        """Why this machine is a member no longer, for the person who asks; None while it is one."""
        self._out = trio.Event()
        self._watch = Watch(
            {
                "packet": lambda: (machine.datagrams.drops.counts, machine.datagrams.drops.latest),
                "datagram_or_fact": lambda: (node.drops.counts, node.drops.latest),
                "stream": lambda: (machine.streams.drops.counts, machine.streams.drops.latest),
                "admission": lambda: (admission_server.drops.counts, admission_server.drops.latest),
                "tunnel": lambda: (_refused_at(self.work.counted()), {}),
            },
            self.work.counted,
        )
        self.driver.on_lost = lambda lost: invites.close_for(lost.id)
        self.driver.on_expelled = self._expel

    @property
    def node(self) -> Node:
        return self.driver.node

    def _persist(self, key: str, value: bytes) -> None:
        self.machine.state.persist(self.id, key, value)

    def status(self) -> Status:
        result = status(self.node, self.id, self.name, self.machine.keeper.status(), self.api)
        if self.driver.trouble is not None:
            result["trouble"] = str(self.driver.trouble)
        return result

    # --- the stay ---------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> Admitted | None:
        """Be a member. The gateway listens and the node has spoken before this counts as started."""
        machine = self.machine
        machine.streams.pool = self.id
        machine.datagrams.is_known = self.node.knows
        self.admission_server.pool_name = self.name
        self._memory = await trio.to_thread.run_sync(measure, machine.keeper.backend)
        wanted = machine.options.memory or default_offer(self._memory, machine.keeper.backend)
        self._offered = min(wanted, self._memory.total)
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(self._serve_gateway)
            self.api = f"http://{bound[0][0]}:{bound[0][1]}/v1"
            self._told = self._profile()
            self.driver.do(self.node.start, self._told)
            await nursery.start(self.driver.run)
            self.admission_server.driver = self.driver
            self.driver.do(self.node.add_seeds, self._peers)
            machine.neighbours.on_sighting = self._greet
            for task in (
                self._publish,
                self._watch.run,
                self._look_for_members,
                self._save_peers,
                self.work.run,
                self.leading.run,
                self.copies.run,
            ):
                nursery.start_soon(task)
            nursery.start_soon(self._look_for_company, nursery.cancel_scope)
            nursery.start_soon(self._until_expelled, nursery.cancel_scope)
            await self._announce()
            task_status.started()
        return self._admitted

    async def say_goodbye(self) -> None:
        """Tell the others that this node leaves of its own will, and give them a moment to hear it."""
        self.admission_server.driver = None
        await self.leading.stop()
        self.driver.do(self.node.leave)
        await trio.sleep(FAREWELL_SECONDS if len(self.node.members()) > 1 else 0)

    def _expel(self, expelled: Expelled) -> None:
        who = f"by {expelled.by_name}" if expelled.by is not None else "together with who had vouched for it"
        self.expelled = f"this machine was evicted from pool {self.name} {who}"
        self._out.set()

    async def _until_expelled(self, stay: trio.CancelScope) -> None:
        await self._out.wait()
        log.error("%s", self.expelled)
        stay.cancel()

    async def _serve_gateway(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        options = self.machine.options
        binds = [
            (
                "127.0.0.1" if options.bind is None or not options.bind.startswith("127.") else options.bind,
                options.api_port,
            )
        ]
        key = None
        if options.listen is not None and options.api_key is not None:
            binds.append((options.listen, options.api_port))
            key = await trio.to_thread.run_sync(read_api_key, options.api_key)
        await serve_gateway(binds, self, api_key=key, collectors=[self._watch], task_status=task_status)

    # --- what this machine says of itself -----------------------------------------------------------

    def _profile(self) -> Profile:
        machine = self.machine
        assert self._memory is not None
        addresses = [Endpoint(host, machine.port) for host in local_addresses(machine.options.bind)]
        wanted = self.node.deployment()
        return profile(
            machine.options,
            machine.keeper.backend,
            self._memory,
            self._offered,
            machine.keeper.engine,
            machine.keeper.status(),
            self.work.ready,
            addresses,
            told_models(self.models.held(), wanted),
            wanted,
        )

    async def _publish(self) -> None:
        seen = self.machine.changes.count
        while True:
            fresh = self._profile()
            if worth_telling(self._told, fresh):
                self._told = fresh
                self.driver.do(self.node.publish, fresh)
            before = seen
            seen = await self.machine.changes.wait(seen, PUBLISH_SECONDS)
            if seen == before:
                self._memory = await trio.to_thread.run_sync(measure, self.machine.keeper.backend)

    async def _announce(self) -> None:
        machine = self.machine
        addresses = local_addresses(machine.options.bind)
        await machine.neighbours.announce(
            id_text(self.id), id_text(self.node.id), machine.port, machine.options.name, addresses
        )

    # --- finding the others -------------------------------------------------------------------------

    def _cached_peers(self) -> list[Endpoint]:
        kept = self.machine.state.load("peers").get(id_text(self.id))
        peers = []
        for text in kept if isinstance(kept, list) else ():
            with suppress(MeshError):
                peers.append(Endpoint.parse(str(text), self.machine.port))
        return peers

    async def _save_peers(self) -> None:
        """Keep where the others are, for the next start: who comes back must not take itself for alone."""
        saved: list[str] = []
        seen = -1
        while True:
            others = [m for m in self.node.members() if m.endpoint and m.id != self.node.id]
            others = [m for m in others if m.state != "left"]
            peers = [str(m.endpoint) for m in sorted(others, key=lambda m: (m.state == "dead", m.id))][:64]
            if peers and peers != saved:
                saved = peers
                try:
                    self.machine.state.save("peers", {id_text(self.id): peers})
                except MeshError as error:
                    log.error("%s", error)
            await trio.sleep(SAVE_SECONDS)
            seen = await self.machine.changes.wait(seen, LOOK_LONGEST)

    def _greet(self, sighting: Sighting) -> None:
        """A machine on the local network has announced itself just now."""
        if sighting.pool == id_text(self.id):
            self.driver.do(self.node.add_seeds, sighting.endpoints)

    async def _look_for_members(self) -> None:
        """Greet whom discovery sees; often while alone, rarely in company."""
        pause = LOOK_SECONDS
        greeted: set[Endpoint] = set()
        while True:
            known = {member.endpoint for member in self.node.members()}
            alone = len(known) == 1
            seen = await self._seen_endpoints()
            if alone:
                seen += self._cached_peers()
                greeted.clear()
            self.driver.do(
                self.node.add_seeds, [one for one in seen if one not in known and one not in greeted]
            )
            greeted = set(seen)
            pause = LOOK_SECONDS if alone else min(LOOK_LONGEST, pause * 1.5)
            await trio.sleep(pause)

    async def _seen_endpoints(self) -> list[Endpoint]:
        machine = self.machine
        pool = id_text(self.id)
        seen = [
            e for sighting in machine.neighbours.seen() if sighting.pool == pool for e in sighting.endpoints
        ]
        if machine.tailscale is not None:
            try:
                seen += tailnet_endpoints(await machine.tailscale.status(), machine.port)
            except TailscaleError as error:
                log.debug("tailnet: %s", error)
        return seen

    async def _look_for_company(self, stay: trio.CancelScope) -> None:
        """A founder still alone, without deployment, moves to a pool of its tailnet that would admit it."""
        machine = self.machine
        search = Search.of(machine, _log_line)
        while machine.tailscale is not None:
            await trio.sleep(LOOK_SECONDS * (0.5 + (self.node.id[0] / 255)))
            if not self.admission_server.alone():
                continue
            client = await search.better_pool()
            if client is None:
                continue
            self.admission_server.moving = True
            try:
                with trio.fail_after(LOOK_SECONDS):
                    if len(self.node.members()) == 1:
                        self._admitted = await client.ask(machine.identity, machine.options.name, None)
                        stay.cancel()
                        return
            except (MeshError, trio.TooSlowError) as error:
                log.info("not moving to %s: %s", client.greeting.pool_name, error)
            finally:
                self.admission_server.moving = False
                await client.aclose()

    # --- the gateway's backend ----------------------------------------------------------------------

    async def open_leader(self) -> trio.abc.Stream:
        """A byte stream to the leader's llama-server, which may be this machine's own."""
        wanted, claim, told = self.node.deployment(), self.node.leader(), current_state(self.node)
        if wanted is None or not wanted.running:
            raise NothingServed
        if claim is None:
            raise NotReady("the pool has no leader at present", retry_after=2.0)
        if told is None or told.phase != "ready":
            phase, reason = (told.phase, told.reason) if told else ("waiting", "")
            raise NotReady(
                f"{wanted.model.name} is {phase}{f': {reason}' if reason else ''}",
                retry_after=2.0,
                lasting=phase == "failed",
            )
        if claim.author == self.node.id:
            local = await self.leading.answer()
            if local is None:
                raise NotReady("the leader's llama-server is not ready", retry_after=2.0)
            return local
        return SessionStream(await self._open_api(claim))

    async def _open_api(self, claim: Claim) -> Session:
        """A stream to the leader, of which one that hangs is not waited for once it leads no more."""
        session, reason = None, "another machine leads now"
        async with trio.open_nursery() as nursery:
            deposed = partial(self.machine.changes.cancel_when, nursery.cancel_scope)
            nursery.start_soon(deposed, lambda: self.node.leader() != claim)
            try:
                session = await self.machine.streams.open(
                    claim.author, self.driver.endpoints(claim.author), "api"
                )
            except StreamError as error:
                reason = f"the leader does not answer: {error.message}"
            nursery.cancel_scope.cancel()
        if session is None:
            raise NotReady(reason, retry_after=2.0)
        return session

    def serving(self) -> Serving | None:
        """Who leads, and the hash of the model that is wanted."""
        wanted, claim = self.node.deployment(), self.node.leader()
        if claim is None or wanted is None or not wanted.running:
            return None
        return Serving(id_text(claim.author), wanted.model.root.hex())

    async def handle_api(self, session: Session) -> None:
        """A member's gateway asks this node, as the leader, for its llama-server."""
        local = None
        try:
            local = await self.leading.answer()
        except OSError as error:
            log.info("llama-server does not take a connection: %s", error)
        if local is not None:
            await relay(session.stream, local)
            return
        with suppress(trio.BrokenResourceError), trio.move_on_after(REFUSAL_SECONDS):
            await session.stream.send_all(not_serving())

    async def changes(self) -> AsyncIterator[None]:
        seen = -1
        while True:
            seen = await self.machine.changes.wait(seen, CHANGES_SECONDS)
            yield
            await trio.sleep(0.2)


def _refused_at(gate: Mapping[str, int]) -> dict[str, int]:
    return {event: gate[event] for event in ("refused", "cut", "malformed") if event in gate}


async def _log_line(text: str) -> None:
    log.info("%s", text)

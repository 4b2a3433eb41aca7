"""The sidecar: the process that makes a machine a member. One nursery owns everything that it does."""

import logging
import os
import random
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from mesh.admission.admission_server import AdmissionServer
from mesh.admission.handshake import ADMIT, REDEEM, Admitted
from mesh.admission.invites import Invites
from mesh.admission.pairing_lobby import APPROVE
from mesh.admission.pool_names import pool_name
from mesh.control.control_server import serve_control
from mesh.control.operations import JoinArgs, JoinResult, ProgressEvent
from mesh.control.paths import socket_path
from mesh.control.sidecar_options import SidecarOptions
from mesh.copies.copy_manager import COPIES
from mesh.copies.copy_server import COPY
from mesh.engine.install.cache import cache_dir
from mesh.member.stay import Stay
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.interfaces import local_addresses
from mesh.net.discovery.mdns import Mdns
from mesh.net.discovery.tailscale import Tailscale, find_socket
from mesh.net.port import EVERY_ADDRESS, bind_port
from mesh.net.session import Session
from mesh.net.streams import Streams
from mesh.operations.move import MOVE, handle_move
from mesh.operations.table import OperationTable
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.root.log_files import log_to
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.clock import now
from mesh.runtime.effective_options import settle
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.runtime.lan import Neighbours
from mesh.runtime.node_context import NodeContext
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId, id_text, pool_id, verify

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
MAX_FILES = 8192


class Sidecar:
    """A machine, and the pool that it belongs to at present, if any."""

    def __init__(self, options: SidecarOptions) -> None:
        self.started = options
        self.state = StateDir(options.state_dir)
        self.pool: Stay | None = None
        self.stopping = trio.Event()
        self.leaving = False
        self.purge = False
        self.joining = trio.Lock()
        self._stay: trio.CancelScope | None = None
        self._gone = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._operations = OperationTable(self)

    # --- the process --------------------------------------------------------------------------------

    async def run(
        self,
        join: JoinArgs | None = None,
        on_event: Callable[[ProgressEvent], None] = lambda event: None,
        on_joined: Callable[[JoinResult], None] = lambda result: None,
    ) -> None:
        """Run until asked to stop, in a state directory that is locked already.

        Raises MeshError when it cannot start, or when ``join`` fails.
        """
        self.options = settle(self.started, self.state)
        hosts = EVERY_ADDRESS if self.options.bind is None else (self.options.bind,)
        bound = bind_port(hosts, self.options.port)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._stop_on_signal)
                await self._start(nursery, bound.udp, bound.tcp, hosts, bound.port)
                (self.state.path / "sidecar.pid").write_text(str(os.getpid()))
                if join is not None:
                    await self._join_at_once(join, on_event, on_joined)
                await self.stopping.wait()
                await self.leave_pool(forget=False)
                nursery.cancel_scope.cancel()
        finally:
            bound.close()
            (self.state.path / "sidecar.pid").unlink(missing_ok=True)
            if self.purge:
                self.state.purge()

    async def _start(
        self, nursery: trio.Nursery, udp: Sequence[Any], tcp: Sequence[Any], hosts: Sequence[str], port: int
    ) -> None:
        identity = self.state.identity()
        changes = ChangeSignal()
        streams = Streams(identity, hosts if self.options.bind is not None else ())
        datagrams = Datagrams(udp, on_unreachable=self._refused)
        socket = find_socket(self.options.tailscaled_socket)
        tailscale = None if socket is None else Tailscale(socket)
        mdns = Mdns(local_addresses(self.options.bind))
        self.invites = Invites(self.state, time.time)
        self.admission_server = AdmissionServer(identity, self.options.name, streams, self.invites, tailscale)
        neighbours = Neighbours(mdns, id_text(identity.id), changes)
        keeper = EngineKeeper(cache_dir(), changes)
        self.machine = NodeContext(
            self.options,
            self.state,
            identity,
            port,
            datagrams,
            streams,
            tailscale,
            neighbours,
            keeper,
            changes,
        )
        kinds: dict[str, Callable[[Session], Awaitable[None]]] = {
            ADMIT: self.admission_server.handle,
            REDEEM: self.admission_server.handle_redeem,
            APPROVE: self.admission_server.handle_approve,
            "gossip": self._in_pool(lambda pool: pool.driver.messages.handle),
            "tunnel": self._in_pool(lambda pool: pool.work.handle),
            "api": self._in_pool(lambda pool: pool.handle_api),
            MOVE: self._in_pool(lambda pool: partial(handle_move, pool)),
            COPY: self._in_pool(lambda pool: pool.copies.handle_piece),
            COPIES: self._in_pool(lambda pool: pool.copies.handle_ask),
        }
        await nursery.start(datagrams.run)
        await nursery.start(streams.serve, tcp, kinds)
        await nursery.start(neighbours.run)
        nursery.start_soon(keeper.run)
        current = self.state.current_pool()
        if current is not None:
            await self.enter(current, ())
        path = socket_path(str(self.state.path))
        table = self._operations
        await nursery.start(serve_control, Path(path), table.handlers(), table.survive_hang_up())

    async def _join_at_once(
        self,
        join: JoinArgs,
        on_event: Callable[[ProgressEvent], None],
        on_joined: Callable[[JoinResult], None],
    ) -> None:
        async def emit(event: ProgressEvent) -> None:
            on_event(event)

        on_joined(await self._operations.join.join(join, emit))

    async def _stop_on_signal(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP and not self.started.foreground:
                    continue
                log.info("asked to stop by %s", signal.Signals(number).name)
                if self.stopping.is_set():
                    raise KeyboardInterrupt
                self.stopping.set()

    def _refused(self, endpoint: Endpoint) -> None:
        if self.pool is not None:
            self.pool.driver.refused(endpoint)

    def _in_pool(
        self, handler: Callable[[Stay], Callable[[Session], Awaitable[None]]]
    ) -> Callable[[Session], Awaitable[None]]:
        async def handle(session: Session) -> None:
            if self.pool is not None:
                await handler(self.pool)(session)

        return handle

    # --- pools --------------------------------------------------------------------------------------

    def _node(self, pool: PoolId) -> Node:
        identity = self.machine.identity
        # Seeded by the system: of many nodes that start at once no two behave alike.
        source = random.Random(os.urandom(16))
        return Node(Settings(), identity, verify, source, self.state.stored(pool))

    def _pool_of(self, id: PoolId, node: Node, peers: Sequence[Endpoint]) -> Stay:
        return Stay(self.machine, self.admission_server, self.invites, id, node, peers)

    async def found(self) -> None:
        """Begin a pool of this node's own."""
        pool = pool_id(self.machine.identity.public_key)
        self.state.enter(pool)
        node = self._node(pool)

        def begin(here: Stay) -> None:
            if node.pool is None:  # else it comes back to the pool that it had founded and left
                here.driver.do(node.found)

        await self._stay_in(self._pool_of(pool, node, ()), begin)

    async def admit(self, admitted: Admitted) -> None:
        """Become a member by the voucher chain that a pool has answered with."""
        self.state.enter(admitted.pool)
        node = self._node(admitted.pool)
        await self._stay_in(
            self._pool_of(admitted.pool, node, admitted.peers),
            lambda here: here.driver.do(node.admit, admitted.chain),
        )

    async def enter(self, pool: PoolId, peers: Sequence[Endpoint]) -> None:
        """Go on in the pool that the state directory knows, unless the node was evicted when it ended."""
        node = self._node(pool)
        if node.is_evicted(node.id):
            self.state.note_expulsion(f"this machine was evicted from pool {pool_name(pool)}")
            return
        await self._stay_in(self._pool_of(pool, node, peers), lambda here: None)

    async def _stay_in(self, pool: Stay, begin: Callable[[Stay], None]) -> None:
        assert self._nursery is not None
        self._gone = trio.Event()
        begin(pool)
        self.pool = pool
        await self._nursery.start(self._stay_task, pool)

    async def _stay_task(
        self, pool: Stay, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        admitted: Admitted | None = None
        try:
            with trio.CancelScope() as self._stay:
                admitted = await pool.run(task_status=task_status)
        finally:
            self.admission_server.driver = None
            self.machine.neighbours.on_sighting = None
            self.machine.streams.pool = None
            self.machine.datagrams.is_known = lambda source: False
            self.machine.streams.trust({})
            self.pool = None
            self._gone.set()
        if pool.expelled is not None:
            self.state.note_expulsion(pool.expelled)
            self.stopping.set()
        if admitted is not None:
            log.info("moving to pool %s", id_text(admitted.pool))
            await self.admit(admitted)

    async def leave_pool(self, forget: bool) -> None:
        """Say goodbye and stop taking part; with ``forget`` a restart does not come back to the pool."""
        if self.pool is not None and self._stay is not None:
            with trio.move_on_after(STOP_SECONDS):
                await self.machine.neighbours.withdraw()
                await self.pool.say_goodbye()
            self._stay.cancel()
            await self._gone.wait()
        if forget:
            self.state.abandon()


def main(
    options: SidecarOptions,
    join: JoinArgs | None = None,
    on_event: Callable[[ProgressEvent], None] = lambda event: None,
    on_joined: Callable[[JoinResult], None] = lambda result: None,
) -> int:
    """Run the sidecar until it is told to stop; its exit code. Raises MeshError when it cannot start."""
    sidecar = Sidecar(options)
    sidecar.state.lock()
    log_to(options)
    allow_many_files()
    log.info("mesh sidecar %d on %s", os.getpid(), options.state_dir)
    now()  # fail here, not in the middle, where the clock is missing
    try:
        trio.run(sidecar.run, join, on_event, on_joined)
    except BaseException as error:
        cause = root_cause(error)
        if isinstance(cause, KeyboardInterrupt):
            return 1
        log.error("the sidecar fails: %s", cause, exc_info=None if isinstance(cause, MeshError) else error)
        raise cause from error
    log.info("the sidecar has ended")
    return 0


def allow_many_files() -> None:
    """As many open files as this process may have, up to a bound: each stream and each client is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS may allow fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def root_cause(error: BaseException) -> BaseException:
    """The first error in a group (trio's nurseries raise groups), one for a person if there is one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [root_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, MeshError)), causes[0])

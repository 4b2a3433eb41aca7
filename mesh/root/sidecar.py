"""The sidecar: the process that makes a machine a member. One nursery owns everything that it does."""

import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from mesh.admission.handshake import Admitted
from mesh.control.control_server import serve_control
from mesh.control.operations import JoinArgs, JoinResult, ProgressEvent
from mesh.control.paths import process_path, socket_path
from mesh.control.sidecar_options import SidecarOptions
from mesh.engine.install.cache import cache_dir
from mesh.member.stay import Stay
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.interfaces import local_addresses
from mesh.net.discovery.mdns import Mdns
from mesh.net.discovery.tailscale import Tailscale, find_socket
from mesh.net.port import EVERY_ADDRESS, BoundPort, bind_port
from mesh.net.versions_preface import OtherVersion
from mesh.operations.operation_table import OperationTable
from mesh.root.log_files import log_to
from mesh.root.services import discovery_sources, make_services
from mesh.root.stream_table import stream_handlers
from mesh.runtime.clock import now
from mesh.runtime.effective_options import settle
from mesh.runtime.process import allow_many_files, keep_out_of_dumps, root_cause
from mesh.runtime.program_build import build
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId, id_text, pool_id

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0


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
        self._scope: trio.CancelScope | None = None
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
        """Run until stopped, in a state directory that is locked already.

        Raises MeshError when it cannot start, or when ``join`` fails.
        """
        self.options = settle(self.started, self.state)
        hosts = EVERY_ADDRESS if self.options.bind is None else (self.options.bind,)
        bound = bind_port(hosts, self.options.port)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._stop_on_signal)
                await self._start(nursery, bound, hosts)
                self._note_process()
                if join is not None:
                    await self._join_at_once(join, on_event, on_joined)
                await self.stopping.wait()
                await self.leave_pool(forget=False)
                nursery.cancel_scope.cancel()
        finally:
            bound.close()
            self._process_file.unlink(missing_ok=True)
            if self.purge:
                self.state.purge()

    @property
    def _process_file(self) -> Path:
        return Path(process_path(str(self.state.path)))

    def _note_process(self) -> None:
        with suppress(OSError):  # a full disk: it works without
            self._process_file.write_text(str(os.getpid()))

    async def _start(self, nursery: trio.Nursery, bound: BoundPort, hosts: Sequence[str]) -> None:
        options = self.options
        socket = find_socket(options.tailscaled_socket)
        tailscale = None if socket is None else Tailscale(socket)
        mdns = Mdns(local_addresses(options.bind))
        self._services = services = make_services(
            options,
            self.state,
            Datagrams(bound.udp),
            () if options.bind is None else hosts,
            tailscale,
            discovery_sources(self.state, bound.port, mdns, tailscale),
            cache_dir(),
        )
        self.machine = context = services.context
        await nursery.start(context.datagrams.run)
        handlers = stream_handlers(services.admission_server, lambda: self.pool)
        await nursery.start(context.streams.serve, bound.tcp, handlers)
        await nursery.start(context.discovery.run)
        nursery.start_soon(context.keeper.run)
        current = self.state.current_pool()
        if current is not None:
            await self.enter(current)
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

        try:
            on_joined(await self._operations.join.join(join, emit))
        except OtherVersion as apart:
            if self.pool is None:
                raise
            # A member goes on alone: it is back in company once the others or this machine are upgraded.
            log.error("%s", apart)
            on_event({"text": str(apart)})

    async def _stop_on_signal(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP and not self.started.foreground:
                    continue
                log.info("asked to stop by %s", signal.Signals(number).name)
                if self.stopping.is_set():
                    raise KeyboardInterrupt
                self.stopping.set()

    # --- pools --------------------------------------------------------------------------------------

    async def found(self) -> None:
        """Begin a pool of this node's own."""
        pool = pool_id(self.machine.identity.public_key)
        self.state.enter(pool)
        stay = self._stay_in(pool)
        if stay.node.pool is None:  # otherwise it returns to the pool that it founded and left
            stay.driver.do(stay.node.found)
        await self._begin(stay)

    async def admit(self, admitted: Admitted) -> None:
        """Become a member by the voucher chain of a pool's answer."""
        self.state.enter(admitted.pool)
        stay = self._stay_in(admitted.pool, admitted.peers)
        stay.driver.do(stay.node.admit, admitted.chain)
        await self._begin(stay)

    async def enter(self, pool: PoolId) -> None:
        """Continue in the pool that the state directory names, unless the node was evicted there."""
        stay = self._stay_in(pool)
        if stay.node.is_evicted(stay.node.id):
            self.state.note_expulsion(f"this machine was evicted from pool {stay.name}")
            return
        await self._begin(stay)

    def _stay_in(self, pool: PoolId, peers: Sequence[Endpoint] = ()) -> Stay:
        services = self._services
        return Stay(
            self.machine, services.admission_server, services.invites, pool, self.machine.node_in(pool), peers
        )

    async def _begin(self, stay: Stay) -> None:
        assert self._nursery is not None
        self._gone = trio.Event()
        self.pool = stay
        await self._nursery.start(self._run_stay, stay)

    async def _run_stay(
        self, stay: Stay, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        admitted: Admitted | None = None
        try:
            with trio.CancelScope() as self._scope:
                admitted = await stay.run(task_status=task_status)
        finally:
            self.pool = None
            self._gone.set()
        if stay.expelled is not None:
            self.state.note_expulsion(stay.expelled)
            self.stopping.set()
        if admitted is not None:
            log.info("moving to pool %s", id_text(admitted.pool))
            await self.admit(admitted)

    async def leave_pool(self, forget: bool) -> None:
        """Tell the others and end the stay; with ``forget``, a restart does not return to the pool."""
        if self.pool is not None and self._scope is not None:
            with trio.move_on_after(STOP_SECONDS):
                await self.machine.discovery.withdraw()
                await self.pool.say_goodbye()
            self._scope.cancel()
            await self._gone.wait()
        if forget:
            self.state.abandon()


def main(
    options: SidecarOptions,
    join: JoinArgs | None = None,
    on_event: Callable[[ProgressEvent], None] = lambda event: None,
    on_joined: Callable[[JoinResult], None] = lambda result: None,
) -> int:
    """Run the sidecar until it is stopped; return its exit code. Raises MeshError when it cannot start."""
    keep_out_of_dumps()
    sidecar = Sidecar(options)
    sidecar.state.lock()
    log_to(options)
    allow_many_files()
    # The build is that of the sources as they are now: they may be replaced while this runs.
    log.info("mesh sidecar %d, build %s, on %s", os.getpid(), build(), options.state_dir)
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

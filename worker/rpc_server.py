"""llama.cpp's rpc-server, confined: restarted after crashes, never probed while it may work."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from mesh.engine.process.logfile import LogFile
from mesh.engine.process.memory_bound import MemoryBound
from mesh.engine.process.reach import Reach, reach
from mesh.engine.process.restarts import Restarts
from mesh.engine.process.rpc_port import CLOSED, wait_for_listener
from mesh.engine.process.standstill import Standstill, look
from mesh.engine.process.supervise import Launch, Run, State, Supervised, SupervisorEvent, describe_exit
from mesh.engine.sandbox.confinement import Confinement, environment
from mesh.engine.sandbox.isolation import isolation
from mesh.engine.threads import thread_count

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.7
_RELEASE_SECONDS = 1.0
"""Seconds that rpc-server may compute on for a client that is gone while the next one waits."""

_SPARE_BYTES = 256 << 20
"""What it may take beside a tenth more than is lent: its libraries' own, and buffers on the way."""

_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class ServerEnd:
    """How an rpc-server ended: why, in words, and the last lines that it printed."""

    reason: str
    lines: tuple[str, ...]


class RpcServer:
    """Owns the process while ``run`` runs.

    rpc-server has no authentication and no encryption: a program that reaches its port owns the process. So
    each start has a cell of its own, or at least an address of its own, in case one was taken.
    """

    def __init__(
        self,
        program: Path,
        log: Path,
        *,
        lent: int,
        threads: int | None = None,
        device: bool = False,
        engine_devices: Sequence[str] = (),
        number: int = 0,
        name: str = "rpc-server",
        on_event: Callable[[SupervisorEvent], None] = lambda _: None,
        restarts: Restarts | None = None,
    ) -> None:
        """``lent``: bytes of memory that it may take. ``threads``: for the processor, by default one for each
        core that it may use.

        ``device``: it drives an accelerator. ``engine_devices`` are those that it serves, as it calls them;
        without them it serves what it finds. ``number`` is its own among a sidecar's engines, ``name``
        what people are told.
        """
        self._program = program
        self._device = device
        self._engine_devices = tuple(engine_devices)
        self._number = number
        self.turn = trio.StrictFIFOLock()
        """Held by the stream whose client it serves."""
        self.end: ServerEnd | None = None
        """How it ended since its last client came; None if it did not."""
        self._on_event = on_event
        self._memory = MemoryBound(name, lent + lent // 10 + _SPARE_BYTES, "what is lent")
        self.problem = ""
        """Why it was last ended for what it took; empty if never."""
        self._threads = threads or thread_count()
        self._reach: Reach | None = None
        self._connected = 0
        self._closed = 0
        self._freed = trio.Event()
        self._name = name
        self._supervised = Supervised(
            name,
            self._launch,
            LogFile(log),
            restarts=restarts or Restarts(),
            on_event=self._note,
            on_line=self._on_line,
        )

    @property
    def state(self) -> State:
        """The supervised process's state."""
        return self._supervised.state

    @property
    def pid(self) -> int | None:
        """The running process's id."""
        return self._supervised.pid

    @property
    def has_failed(self) -> bool:
        """Whether it ever ended, or was not ready in time, since ``run``."""
        return self._supervised.starts > 1 or self.state in (State.BACKING_OFF, State.FAILED)

    async def run(self) -> None:
        """Own the process until ``stop`` or cancellation, both of which end it.

        A process that stands still is killed, which ends its client's connection, and started again.
        """
        await trio.to_thread.run_sync(isolation, abandon_on_cancel=True)  # which then knows, at each start
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            try:
                await self._supervised.run()
            finally:
                self._let_go()
            nursery.cancel_scope.cancel()

    async def _watch(self) -> None:
        watched, standstill = None, Standstill(self._device)
        while True:
            await trio.sleep(_LOOK_SECONDS)
            pid, reach = self.pid, self._reach
            if pid is None or reach is None or self.state is not State.READY:
                continue
            if pid != watched:
                watched, standstill = pid, Standstill(self._device)
            seen = look(pid, reach.port)
            if seen is None:
                continue
            stands = standstill.see(trio.current_time(), seen)
            took = self._memory.exceeded(pid)
            self.problem = took or self.problem
            if stands or took:
                reason = took or f"{self._name} {stands}"
                _log.warning("%s: it is killed and started again", reason)
                self._note_end(reason)
                await self._supervised.restart()

    async def stop(self) -> None:
        """End the process and ``run``."""
        await self._supervised.stop()

    async def wait_ready(self) -> None:
        """Wait, without limit, until it serves."""
        await self._supervised.wait_ready()

    async def restart(self) -> None:
        """Kill it, stuck or not, which frees all its memory. Returns when the next one is ready, or none is
        to come.
        """
        await self._supervised.restart()

    async def connect(self) -> trio.SocketStream:
        """A client's connection, which it serves after all earlier ones. OSError while it is not ready."""
        reach = self._reach
        if reach is None or self.state is not State.READY:
            raise ConnectionRefusedError("rpc-server is not ready")
        stream = await reach.connect()
        if reach is self._reach:
            self._connected += 1
            self.end = None
        return stream

    async def free_up(self, limit: float = _RELEASE_SECONDS) -> None:
        """Return when it serves no client. Restart it if it keeps its last client longer than ``limit`` s.

        One that is not ready serves none. rpc-server serves a client whose connection was closed until it
        has done the computation that the client asked for. Its log alone tells that: a question to it would
        queue behind the client.
        """
        with trio.move_on_after(limit):
            while self.state is State.READY and self._closed < self._connected:
                await self._freed.wait()
            return
        await self.restart()

    async def ended(self, limit: float) -> ServerEnd | None:
        """How it ended since its last client came; waits for ``limit`` s, for that may be noticed late."""
        with trio.move_on_after(limit):
            while self.end is None:
                await self._freed.wait()
        return self.end

    def _launch(self) -> Launch:
        self._let_go()
        machine = isolation()
        wanted = machine.applied(Confinement(device=self._device), self._number)
        self._reach = made = reach(self._memory.applied(wanted), machine.cells)
        self._connected = 1  # the readiness probe's own connection
        self._closed = 0
        argv = [str(self._program), "-H", made.host, "-p", str(made.port), "-t", str(self._threads)]
        argv += ["-d", ",".join(self._engine_devices)] if self._engine_devices else []
        # Threads that spin while they wait slow each other down where there are few cores. And a signal
        # reports a crash, without seconds in a debugger.
        given = environment(os.environ) | {"OMP_WAIT_POLICY": "passive", "GGML_NO_BACKTRACE": "1"}
        return Launch(
            made.confinement.command(argv), partial(self._ready, made), given, made.descriptors, made.started
        )

    async def _ready(self, made: Reach, run: Run) -> None:
        with suppress(OSError):  # it ends at once, and its log says why
            await made.listeners()
        await wait_for_listener(made.connect)
        await run.line_with(CLOSED)

    def _let_go(self) -> None:
        self.problem = self._memory.ended() or self.problem
        self._memory.close()
        if self._reach is not None:
            self._reach.close()
            self._reach = None

    def _note(self, event: SupervisorEvent) -> None:
        """Keep how it ended, unless that was its owner's wish, and pass the event on."""
        if event.state in (State.BACKING_OFF, State.FAILED):
            how = event.reason if event.code is None else f"{self._name} {describe_exit(event.code)}"
            self._note_end(self._memory.ended() or how)
        self._freed.set()  # an rpc-server that has ended serves nobody
        self._freed = trio.Event()
        self._on_event(event)

    def _note_end(self, reason: str) -> None:
        self.end = ServerEnd(reason, self._supervised.log.last_lines[-_MOST_LINES:])

    def _on_line(self, line: str) -> None:
        if CLOSED in line:
            self._closed += 1
            self._freed.set()
            self._freed = trio.Event()

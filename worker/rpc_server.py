"""llama.cpp's rpc-server on loopback: sandboxed, restarted after crashes, never probed while it may work."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import trio

from mesh.engine.process.logfile import LogFile
from mesh.engine.process.restarts import Restarts
from mesh.engine.process.rpc_port import CLOSED, free_port, wait_for_listener
from mesh.engine.process.standstill import Standstill, look
from mesh.engine.process.supervise import Launch, Run, State, Supervised, SupervisorEvent
from mesh.engine.sandbox.launcher import environment, sandboxed

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.7
_RELEASE_SECONDS = 1.0
"""Seconds that rpc-server may compute on for a client that is gone while the next one waits."""

HOST = "127.0.0.1"
"""rpc-server has no authentication and no encryption: a program that reaches its port owns the process."""


class RpcServer:
    """Owns the process while ``run`` runs. Every start takes another free port, in case one was taken."""

    def __init__(
        self,
        program: Path,
        log: Path,
        *,
        threads: int | None = None,
        device: bool = False,
        on_event: Callable[[SupervisorEvent], None] = lambda _: None,
        restarts: Restarts | None = None,
    ) -> None:
        """``threads`` for the processor's share, by default one per physical core.

        ``device``: it drives an accelerator.
        """
        self._program = program
        self._device = device
        self._threads = threads or psutil.cpu_count(logical=False) or 1
        self._port = 0
        self._connected = 0
        self._closed = 0
        self._freed = trio.Event()
        self._supervised = Supervised(
            "rpc-server",
            self._launch,
            LogFile(log),
            restarts=restarts or Restarts(),
            on_event=on_event,
            on_line=self._on_line,
        )

    @property
    def port(self) -> int | None:
        """The port that it listens on at loopback; None while it is not ready."""
        return self._port if self._supervised.state is State.READY else None

    @property
    def state(self) -> State:
        """The supervised process's state."""
        return self._supervised.state

    @property
    def pid(self) -> int | None:
        """The running process's id."""
        return self._supervised.pid

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of its log."""
        return self._supervised.log.last_lines

    async def run(self) -> None:
        """Own the process until ``stop`` or cancellation, both of which end it.

        A process that stands still is killed, which ends its client's connection, and started again.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            await self._supervised.run()
            nursery.cancel_scope.cancel()

    async def _watch(self) -> None:
        watched, standstill = None, Standstill(self._device)
        while True:
            await trio.sleep(_LOOK_SECONDS)
            pid, port = self.pid, self.port
            if pid is None or port is None:
                continue
            if pid != watched:
                watched, standstill = pid, Standstill(self._device)
            seen = look(pid, port)
            reason = None if seen is None else standstill.see(trio.current_time(), seen)
            if reason is not None:
                _log.warning("rpc-server %s: it is killed and started again", reason)
                await self._supervised.restart()

    async def stop(self) -> None:
        """End the process and ``run``."""
        await self._supervised.stop()

    async def wait_ready(self) -> None:
        """Wait, without limit, until it serves."""
        await self._supervised.wait_ready()

    async def restart(self) -> None:
        """Kill it, stuck or not, which frees all its memory. Returns when the next one is ready."""
        await self._supervised.restart()

    async def connect(self) -> trio.SocketStream:
        """A client's connection, which it serves after all earlier ones. OSError while it is not ready."""
        port = self.port
        if port is None:
            raise ConnectionRefusedError("rpc-server is not ready")
        stream = await trio.open_tcp_stream(HOST, port)
        if port == self._port:
            self._connected += 1
        return stream

    async def free_up(self, limit: float = _RELEASE_SECONDS) -> None:
        """Return when it serves no client. Restart it if it keeps its last client longer than ``limit`` s.

        rpc-server serves a client whose connection was closed until it has done the computation that the
        client asked for. Its log alone tells that: a question to rpc-server would queue behind the client.
        """
        with trio.move_on_after(limit):
            while self._closed < self._connected:
                await self._freed.wait()
            return
        await self.restart()

    def _launch(self) -> Launch:
        self._port = free_port(HOST)
        self._connected = 1  # the readiness probe's own connection
        self._closed = 0
        argv = [str(self._program), "-H", HOST, "-p", str(self._port), "-t", str(self._threads)]
        # Threads that spin while they wait slow each other down where there are few cores. And a signal
        # reports a crash, without seconds in a debugger.
        given = environment(os.environ) | {"OMP_WAIT_POLICY": "passive", "GGML_NO_BACKTRACE": "1"}
        return Launch(sandboxed(argv, self._port, device=self._device), self._ready, given)

    async def _ready(self, run: Run) -> None:
        await wait_for_listener(self._port, HOST)
        await run.line_with(CLOSED)

    def _on_line(self, line: str) -> None:
        if CLOSED in line:
            self._closed += 1
            self._freed.set()
            self._freed = trio.Event()

"""llama-server, owned: started by a plan, watched while it loads and serves, killed when it is stuck.

This module never starts it again: when it has ended, the reconciler decides what is next, perhaps with
another plan.
"""

import json
import logging
import math
import os
import signal
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import trio

from leader.door.slots.slot_content import SlotContent
from leader.llama.load_progress import LoadProgress
from leader.llama.local_http import get
from leader.llama.memory_limit import memory_limit
from leader.llama.server_arguments import arguments, environment
from leader.llama.slot_manifest import SavedSlot
from leader.llama.slots import Slots
from leader.llama.watchdog import EngineSample, Watchdog, read_slots
from leader.llama.worker_labels import refused_memory, with_names
from leader.placement.planner import Plan
from leader.placement.rpc_groups import RpcGroup
from mesh.engine.process.exit_reason import telling_line
from mesh.engine.process.logfile import LogFile
from mesh.engine.process.memory_bound import MemoryBound
from mesh.engine.process.reach import Reach, reach
from mesh.engine.process.standstill import Standstill, look
from mesh.engine.process.supervise import Launch, Run, State, Supervised, describe_exit
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.engine_users import LLAMA_SERVER
from mesh.engine.sandbox.isolation import isolation
from mesh.engine.threads import thread_count

log = logging.getLogger(__name__)

# Each look restarts the second after which llama-server notices that a client hung up: so not more often.
LOOK_SECONDS: Final = 2.5
ANSWER_SECONDS: Final = 2.0
GLANCE_SECONDS: Final = 0.5  # between the checks that cost it nothing; between all, if a worker is in doubt
READY_LOOK_SECONDS: Final = 0.05
LOAD_SECONDS: Final = 0.5  # between two looks at how far the load is
GRACE: Final = 1.0  # for SIGTERM: a stuck llama-server ignores it
_FOREVER: Final = 7 * 86400.0  # progress ends the loading, not the clock
_MOST_CLIENTS: Final = 1024  # for which it starts threads; it aborts where one cannot be started

_OF_ITS_OWN: Final = frozenset(
    {
        signal.SIGABRT,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
"""Signals by which a program ends by what it did; the others come from somebody else."""
_OF_A_WORKER: Final = "ggml-rpc"  # in the last lines of one that aborted because a worker was lost

Listen = Callable[[RpcGroup, trio.abc.Listener[trio.SocketStream]], None]


class ServerPhase(StrEnum):
    """How far a run of llama-server is."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerState:
    """``phase`` is loading, ready, failed or stopped; ``progress`` (0..1) is that of loading.

    ``reason`` is why it failed; while it loads, how far that is.
    """

    phase: ServerPhase
    progress: float = 0.0
    reason: str = ""


class LlamaServer:
    """One run of llama-server, confined.

    ``listen`` gets each rpc-server with the listener that leads llama-server to it; ``traffic`` is the bytes
    through all tunnels so far, ``sent`` those sent to one rpc-server. ``doubt`` and ``gone`` say whether
    membership suspects some used worker, or holds it dead. ``slots`` is where conversations are kept; with
    ``restore``, those that are there go on. ``name`` is what the API calls the model, if not as the file
    itself does. ``on_stuck`` is told why it is given up where it waits for a worker in vain.
    """

    def __init__(
        self,
        program: Path,
        plan: Plan,
        listen: Listen,
        log: Path,
        *,
        traffic: Callable[[], int] = lambda: 0,
        sent: Callable[[RpcGroup], int] = lambda _: 0,
        doubt: Callable[[], bool] = lambda: False,
        gone: Callable[[], bool] = lambda: False,
        slots: Slots | None = None,
        restore: bool = False,
        name: str = "",
        on_state: Callable[[ServerState], None] = lambda _: None,
        on_stuck: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.state = ServerState(ServerPhase.LOADING)
        self._program = program
        self._listen = listen
        self._reach: Reach | None = None
        self._memory = MemoryBound("llama-server", memory_limit(plan), "the placement", _MOST_CLIENTS)
        self._traffic = traffic
        self._sent = sent
        self._load = LoadProgress.of(plan)
        self._load_seen = -math.inf
        self._doubt = doubt
        self._gone = gone
        self._slots_kept = slots
        self._restore = restore
        self.restored: Mapping[int, SavedSlot] = {}
        """The slots that go on with what an earlier llama-server computed, and for whom."""
        self._name = name
        self._began = 0.0
        self.load_seconds = 0.0
        """Seconds until it was ready; 0 before."""
        self.endpoints: dict[RpcGroup, str] = {}
        """Each rpc-server's end of a tunnel, as llama-server names it; empty before the start."""
        self.refused: RpcGroup | None = None
        """The rpc-server, with the one device, that had not the memory for the load, which ended by that."""
        self._on_state = on_state
        self._on_stuck = on_stuck
        self._lines = 0
        self._stuck = ""
        self._by_requests = False
        self._stopping = False
        self.died_of_requests = False
        """Whether it died of what it was asked: by a signal of its own, or as it took too much or hung.

        Not so where it was stopped, or never ready, or a worker was lost, suspected or stuck.
        """
        self._supervised = Supervised(
            "llama-server",
            self._launch,
            LogFile(log),
            restarts=None,
            ready_seconds=_FOREVER,
            grace=GRACE,
            on_line=self._on_line,
        )

    @property
    def slots(self) -> Slots | None:
        """The files of its slots; None where there can be none, as on a full disk."""
        return self._slots_kept

    @property
    def pid(self) -> int | None:
        """The running process's id."""
        return self._supervised.pid

    async def run(self) -> ServerState:
        """Own the process until it ends, by itself, by ``stop`` or by cancellation.

        Returns the final state, failed or stopped.
        """
        self._began = trio.current_time()
        await trio.to_thread.run_sync(isolation, abandon_on_cancel=True)  # which then knows
        if self._slots_kept is not None and not self._slots_kept.prepare(self._restore):
            self._slots_kept = None
        self._report(ServerState(ServerPhase.LOADING))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            nursery.start_soon(self._glance)
            try:
                code = await self._supervised.run()
            finally:
                self._kill_for(self._memory.ended())
                self._memory.close()
                if self._reach is not None:
                    self._reach.close()
            nursery.cancel_scope.cancel()
        self.died_of_requests = self._has_died_of_requests(code)
        if (code or 0) > 0 and not (self._stuck or self.load_seconds):
            planned = {stage.device.key: stage.bytes for stage in self.plan.stages}
            self.refused = refused_memory(self._supervised.log.last_lines, self.endpoints, planned)
        if self._stopping or self._supervised.state is State.STOPPED:
            self._report(ServerState(ServerPhase.STOPPED))
        else:
            self._report(ServerState(ServerPhase.FAILED, 0.0, self._reason(code)))
        return self.state

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after a second."""
        self._stopping = True
        await self._supervised.stop()

    async def connect(self) -> trio.SocketStream:
        """A connection to it. Raises OSError while it does not listen."""
        if self._reach is None:
            raise ConnectionRefusedError("llama-server is not started")
        return await self._reach.connect()

    async def keep_conversations(self, contents: Mapping[int, SlotContent]) -> None:
        """Save what its slots hold for the next llama-server; bounded in time and space.

        ``contents`` says, by slot, which trust domain may go on with it; the others are not saved.
        """
        if self._slots_kept is not None and self.state.phase is ServerPhase.READY:
            kept = await self._slots_kept.keep(self.connect, contents)
            log.info("%d tokens of conversations are kept", _tokens(kept))

    def kill(self, reason: str) -> None:
        """SIGKILL at once; ``run`` ends with ``reason``."""
        self._stuck = self._stuck or reason
        pid = self._supervised.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _kill_for(self, reason: str) -> None:
        """The same for a reason that what it was asked brought about; does nothing for none."""
        if reason:
            self._by_requests = self._by_requests or not self._stuck
            self.kill(reason)

    def _has_died_of_requests(self, code: int | None) -> bool:
        stopped = self._stopping or self._supervised.state is State.STOPPED
        if stopped or not self.load_seconds or self._doubt() or self._gone():
            return False
        if self._stuck:
            return self._by_requests
        lost = self.plan.workers and any(_OF_A_WORKER in line for line in self._supervised.log.last_lines)
        return code is not None and -code in _OF_ITS_OWN and not lost

    def _launch(self) -> Launch:
        kept, machine, servers = self._slots_kept, isolation(), self.plan.servers
        wanted = Confinement(
            device=any(stage.device.local and not stage.device.host for stage in self.plan.stages),
            reads=tuple(map(str, self.plan.model_info.all_files)),
            writes=() if kept is None else (str(kept.files),),
            file_bytes=0 if kept is None else kept.file_bytes,
        )
        bounded = self._memory.applied(machine.applied(wanted, LLAMA_SERVER))
        self._reach = made = reach(bounded, machine.cells, len(servers), unix=True)
        endpoints = self.endpoints = dict(zip(servers, made.endpoints, strict=True))
        folder = None if kept is None else kept.files
        argv = [
            str(self._program),
            *arguments(self.plan, endpoints, made.host, made.port, folder, self._name, thread_count()),
        ]
        given = environment(os.environ)
        return Launch(
            made.confinement.command(argv), partial(self._ready, made), given, made.descriptors, made.started
        )

    async def _ready(self, made: Reach, _run: Run) -> None:
        """Return when /health says 200 (503 while the model loads) and the conversations are restored."""
        with suppress(OSError):  # it ends at once, and its log says why
            for server, listener in zip(self.plan.servers, await made.listeners(), strict=True):
                self._listen(server, listener)
        healthy = False
        while not healthy:
            with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(ANSWER_SECONDS):
                healthy = (await get(self.connect, "/health"))[0] == 200
            await trio.sleep(0 if healthy else READY_LOOK_SECONDS)
        if self._restore and self._slots_kept is not None:
            self.restored = await self._slots_kept.restore(self.connect)
            log.info("%d tokens of conversations are restored", _tokens(self.restored))

    async def _watch(self) -> None:
        """Follow progress; kill the process when the watchdog says so."""
        watchdog = Watchdog(max((stage.layer_seconds for stage in self.plan.stages), default=0.0))
        looked = -LOOK_SECONDS
        while True:
            now, doubt, gone = trio.current_time(), self._doubt(), self._gone()
            if self.state.phase is not ServerPhase.READY or doubt or gone or now - looked >= LOOK_SECONDS:
                looked = now
                activity, counters = await self._activity()
                sighting = EngineSample(activity, (counters, self._traffic()), doubt, gone)
                reason = watchdog.see(trio.current_time(), sighting)
                if reason is not None:
                    mine = activity == "silent" or not self.plan.workers
                    if not mine:
                        self._on_stuck(reason)
                    (self._kill_for if mine else self.kill)(f"llama-server {reason}")
                    return
            await trio.sleep(GLANCE_SECONDS if self.state.phase is ServerPhase.READY else READY_LOOK_SECONDS)

    async def _glance(self) -> None:
        """Kill the process when it stands still (SIGSTOP) or takes too much: it is not asked for that."""
        standstill = Standstill()
        while True:
            pid = self.pid
            glance = None if pid is None else look(pid)
            if pid is not None and glance is not None:
                writes = None if self._slots_kept is None else self._slots_kept.watch()
                wrong = standstill.see(trio.current_time(), glance) or writes
                took = "" if wrong else self._memory.exceeded(pid)
                if wrong:
                    self.kill(f"llama-server {wrong}")
                self._kill_for(took)
                if wrong or took:
                    return
            await trio.sleep(GLANCE_SECONDS)

    async def _activity(self) -> tuple[str, Hashable]:
        if self._supervised.state is not State.READY:
            self._note_load()
            return "loading", self._lines
        if self.state.phase is not ServerPhase.READY:
            self.load_seconds = trio.current_time() - self._began
            self._report(ServerState(ServerPhase.READY, 1.0))
        return await self._slots()

    async def _slots(self) -> tuple[str, Hashable]:
        with suppress(OSError, trio.BrokenResourceError, ValueError), trio.move_on_after(ANSWER_SECONDS):
            status, body = await get(self.connect, "/slots")
            if status == 200:
                return read_slots(json.loads(body))
        return "silent", None

    def _note_load(self) -> None:
        """Report how far the load is, at most twice a second."""
        now = trio.current_time()
        if now >= self._load_seen + LOAD_SECONDS:
            self._load_seen = now
            read = _bytes_read(self.pid) / max(1, self.plan.model_info.total_bytes)
            report = self._load.see(now, read, [self._sent(server) for server in self.plan.servers])
            self._report(ServerState(ServerPhase.LOADING, report.fraction, report.text()))

    def _on_line(self, _line: str) -> None:
        self._lines += 1

    def _report(self, state: ServerState) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)

    def _reason(self, code: int | None) -> str:
        if self._stuck:
            return self._stuck
        how = "did not start" if code is None else describe_exit(code)
        names = {stage.device.key: stage.device.name for stage in self.plan.stages}
        lines = (with_names(line, self.endpoints, names) for line in self._supervised.log.last_lines)
        line = telling_line(lines)
        return f"llama-server {how}: {line}" if line else f"llama-server {how}"


def _bytes_read(pid: int | None) -> int:
    """What the process has read from the disk; 0 where the system does not tell, as on macOS."""
    with suppress(OSError, ValueError, IndexError):
        if pid is not None:
            told = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
            return int(told.partition("\nread_bytes:")[2].split()[0])
    return 0


def _tokens(slots: Mapping[int, SavedSlot]) -> int:
    return sum(slot.tokens for slot in slots.values())

"""One owned program: started, watched until it is ready, its output kept, restarted after a crash."""

import enum
import logging
import shlex
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.engine.process.child import Process
from mesh.engine.process.exit_reason import telling_line
from mesh.engine.process.logfile import LogFile
from mesh.engine.process.restarts import Restarts

_log = logging.getLogger(__name__)

_LAST_LINES: Final = 40  # of a run's output, in which its end is explained


class State(enum.Enum):
    """The states of a supervised program."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """It ended, or was never ready; no restart follows."""
    BACKING_OFF = "backing-off"
    """It ended, or was never ready; it starts again after a pause."""
    STOPPED = "stopped"
    """It ended because its owner stopped it."""


@dataclass(frozen=True, slots=True)
class SupervisorEvent:
    """A change of state; ``pause`` is in seconds, ``reason`` one line for people."""

    state: State
    pid: int | None = None
    code: int | None = None
    """Exit status of the run that ended, negative for a signal."""
    reason: str = ""
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Launch:
    """One start: what to run, and when it counts as ready.

    The supervisor calls ``ready`` with the ``Run`` once it has spawned the program; ``ready`` returns when
    the program is ready. It is cancelled when the program ends, and may raise nothing.
    """

    argv: Sequence[str]
    ready: "Callable[[Run], Awaitable[None]]"
    environment: Mapping[str, str] | None = None
    descriptors: Sequence[int] = ()
    """What the program inherits besides its output."""
    started: Callable[[int], None] = lambda _: None
    """Called with its process id, once it was spawned."""


@dataclass(slots=True)
class Run:
    """A started program, as its readiness check sees it."""

    pid: int
    lines: list[str] = field(default_factory=list)
    """The first 1000 lines that it printed until it was ready."""
    _grown: trio.Event = field(default_factory=trio.Event)

    async def line_with(self, text: str) -> str:
        """The first line of its output that contains ``text``; waits for it without limit."""
        seen = 0
        while True:
            for line in self.lines[seen:]:
                if text in line:
                    return line
            seen = len(self.lines)
            await self._grown.wait()

    def add(self, line: str) -> None:
        """Note a line that the program printed."""
        if len(self.lines) < 1000:
            self.lines.append(line)
            self._grown.set()
            self._grown = trio.Event()


class Supervised:
    """Runs one program for as long as ``run`` runs.

    Every start calls ``launch`` again, so that it can replace a port that was taken. With ``restarts=None``
    the program runs once and ``run`` returns its exit status. Otherwise that policy restarts it, until
    ``stop`` or cancellation. Both end the program: SIGTERM, and SIGKILL after ``grace`` seconds.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[], Launch],
        log: LogFile,
        *,
        restarts: Restarts | None = None,
        ready_seconds: float = 30.0,
        grace: float = 2.0,
        on_event: Callable[[SupervisorEvent], None] = lambda _: None,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.log = log
        self.state = State.STOPPED
        self.starts = 0
        """How often the program was started."""
        self._launch = launch
        self._restarts = restarts
        self._ready_seconds = ready_seconds
        self._grace = grace
        self._on_event = on_event
        self._on_line = on_line
        self._process: Process | None = None
        self._stopping = False
        self._again = False
        self._hurry = trio.Event()
        self._changed = trio.Event()

    @property
    def pid(self) -> int | None:
        """The running program's process id."""
        return self._process.pid if self._process is not None else None

    async def run(self) -> int | None:
        """Own the program. Returns the exit status of its last run, None if none was spawned. One call at a
        time.
        """
        code: int | None = None
        try:
            while not self._stop_wanted():
                began = trio.current_time()
                self._again = False
                code, reason = await self._run_once()
                if self._stop_wanted():
                    break
                if self._restarts is None:
                    self._report(SupervisorEvent(State.FAILED, code=code, reason=reason))
                    return code
                await self._back_off(code, reason, trio.current_time() - began)
        finally:
            self.log.close()
            if self.state is not State.FAILED:
                self._report(SupervisorEvent(State.STOPPED, code=code))
        return code

    async def stop(self) -> None:
        """End the program and ``run``, for good; returns when the program is gone."""
        self._stopping = True
        self._hurry.set()
        if self._process is not None:
            await self._process.stop(self._grace)

    async def restart(self) -> None:
        """Kill the running program at once (it may be stuck); returns when the next one is ready.

        Or when ``run`` ends, after which there is none. Waits without limit: the caller sets one. Only for
        programs with a restart policy.
        """
        if self._restarts is None:
            raise RuntimeError(f"{self.name} is run once")
        self._again = True
        self._hurry.set()
        before = self.starts
        if self._process is not None:
            self._process.signal_group(signal.SIGKILL)
        while self.state is not State.STOPPED and not (self.state is State.READY and self.starts > before):
            await self._changed.wait()

    async def wait_ready(self) -> None:
        """Wait, without limit, until the program is ready."""
        while self.state is not State.READY:
            await self._changed.wait()

    def _stop_wanted(self) -> bool:
        return self._stopping  # another task may change it during every await

    async def _back_off(self, code: int | None, reason: str, ran_for: float) -> None:
        assert self._restarts is not None
        self._hurry = trio.Event()
        if self._again:
            return
        self._restarts, pause = self._restarts.after_exit(ran_for)
        self._report(SupervisorEvent(State.BACKING_OFF, code=code, reason=reason, pause=pause))
        with trio.move_on_after(pause):
            await self._hurry.wait()

    async def _run_once(self) -> tuple[int | None, str]:
        """``(exit status, reason for people)`` of one run."""
        self.starts += 1
        try:
            launch = self._launch()
            process = Process(launch.argv, environment=launch.environment, descriptors=launch.descriptors)
        except OSError as error:
            return None, f"{self.name} does not start: {error.strerror or error}"
        _log.info("%s: started as %d: %s", self.name, process.pid, shlex.join(launch.argv))
        launch.started(process.pid)
        run = Run(process.pid)
        self._process = process
        self._report(SupervisorEvent(State.STARTING, pid=process.pid))
        late, said = False, deque[str](maxlen=_LAST_LINES)

        async def watch_readiness() -> None:
            nonlocal late
            with trio.move_on_after(self._ready_seconds) as limit:
                await launch.ready(run)
            if limit.cancelled_caught:
                late = True
                process.signal_group(signal.SIGKILL)
            else:
                self._report(SupervisorEvent(State.READY, pid=process.pid))

        def keep(line: str) -> None:
            self.log.write(line)
            said.append(line)
            if self.state is State.STARTING:
                run.add(line)
            self._on_line(line)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch_readiness)
                code = await process.run(keep, grace=self._grace)
                nursery.cancel_scope.cancel()
        finally:
            self._process = None
        reason = f"was not ready after {self._ready_seconds:.0f} s" if late else describe_exit(code)
        line = telling_line(said)
        return code, f"{self.name} {reason}: {line}" if line else f"{self.name} {reason}"

    def _report(self, event: SupervisorEvent) -> None:
        self.state = event.state
        level = logging.WARNING if event.state in (State.FAILED, State.BACKING_OFF) else logging.INFO
        _log.log(level, "%s: %s %s", self.name, event.state.value, event.reason)
        self._on_event(event)
        self._changed.set()
        self._changed = trio.Event()


def describe_exit(code: int) -> str:
    """An exit status (negative for a signal) in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

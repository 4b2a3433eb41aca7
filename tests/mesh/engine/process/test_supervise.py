import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from mesh.engine.process.logfile import LogFile
from mesh.engine.process.restarts import Restarts
from mesh.engine.process.supervise import Launch, Run, State, Supervised, SupervisorEvent, describe_exit
from tests.mesh.engine.process.processes import is_gone
from tests.waiting import until

SERVE = "import signal; print('up', flush=True); signal.pause()"


async def ready_at_up(run: Run) -> None:
    await run.line_with("up")


def launching(script: str) -> Callable[[], Launch]:
    return lambda: Launch([sys.executable, "-c", script], ready_at_up)


@asynccontextmanager
async def owned(supervised: Supervised) -> AsyncIterator[Supervised]:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervised.run)
            yield supervised
            nursery.cancel_scope.cancel()


async def test_a_program_is_ready_when_its_check_says_so_and_ends_with_its_owner(tmp_path: Path) -> None:
    events: list[SupervisorEvent] = []
    supervised = Supervised("x", launching(SERVE), LogFile(tmp_path / "log"), on_event=events.append)
    async with owned(supervised):
        await supervised.wait_ready()
        pid = supervised.pid
        assert pid is not None
        assert not is_gone(pid)
    assert is_gone(pid)
    assert [event.state for event in events] == [State.STARTING, State.READY, State.STOPPED]
    assert (tmp_path / "log").read_text() == "up\n"


async def test_a_crash_is_followed_by_a_pause_and_a_new_start(tmp_path: Path) -> None:
    events: list[SupervisorEvent] = []
    log = LogFile(tmp_path / "log")
    supervised = Supervised("x", launching(SERVE), log, restarts=Restarts(first=0.01), on_event=events.append)
    async with owned(supervised):
        await supervised.wait_ready()
        first = supervised.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervised.starts == 2)
        await supervised.wait_ready()
        assert supervised.pid != first
    crash = events[2]
    assert (crash.state, crash.code, crash.pause) == (State.BACKING_OFF, -signal.SIGKILL, 0.01)
    assert crash.reason == "x was killed by SIGKILL: up"


async def test_a_start_that_cannot_be_prepared_is_tried_again(tmp_path: Path) -> None:
    events: list[SupervisorEvent] = []
    launches = iter([OSError("no socket is free"), OSError(24, "Too many open files")])

    def launch() -> Launch:
        for error in launches:
            raise error
        return launching(SERVE)()

    log = LogFile(tmp_path / "log")
    async with owned(
        Supervised("x", launch, log, restarts=Restarts(first=0.01), on_event=events.append)
    ) as x:
        await x.wait_ready()
    assert [event.reason for event in events[:2]] == [
        "x does not start: no socket is free",
        "x does not start: Too many open files",
    ]


async def test_a_program_that_keeps_crashing_is_started_less_and_less_often(tmp_path: Path) -> None:
    pauses: list[float] = []
    enough = trio.Event()

    def note(event: SupervisorEvent) -> None:
        if event.state is State.BACKING_OFF:
            pauses.append(event.pause)
            if len(pauses) == 4:
                enough.set()

    restarts = Restarts(first=0.01)
    log = LogFile(tmp_path / "log")
    async with owned(Supervised("x", launching("raise SystemExit"), log, restarts=restarts, on_event=note)):
        await enough.wait()
    assert pauses == [0.01, 0.02, 0.04, 0.08]


async def test_the_reason_of_a_later_run_does_not_quote_an_earlier_one(tmp_path: Path) -> None:
    first = tmp_path / "first"
    script = (
        f"import pathlib; p = pathlib.Path({str(first)!r}); first = not p.exists(); p.touch();"
        "print('error: no room' if first else 'up', flush=True); raise SystemExit(4 if first else 5)"
    )
    reasons: list[str] = []
    enough = trio.Event()

    def note(event: SupervisorEvent) -> None:
        if event.state is State.BACKING_OFF:
            reasons.append(event.reason)
            if len(reasons) == 2:
                enough.set()

    log = LogFile(tmp_path / "log")
    restarts = Restarts(first=0.01)
    async with owned(Supervised("x", launching(script), log, restarts=restarts, on_event=note)):
        await enough.wait()
    assert reasons == ["x ended with status 4: error: no room", "x ended with status 5: up"]


async def test_a_program_run_once_gives_its_exit_status_and_last_words(tmp_path: Path) -> None:
    events: list[SupervisorEvent] = []
    script = "print('up', flush=True); print('no such model', flush=True); raise SystemExit(3)"
    supervised = Supervised("x", launching(script), LogFile(tmp_path / "log"), on_event=events.append)
    with trio.fail_after(20):
        assert await supervised.run() == 3
    assert events[-1].state is State.FAILED
    assert events[-1].reason == "x ended with status 3: no such model"
    assert supervised.state is State.FAILED


async def test_a_program_that_is_never_ready_is_killed_and_that_is_the_reason(tmp_path: Path) -> None:
    events: list[SupervisorEvent] = []
    supervised = Supervised(
        "x",
        launching("import signal; signal.pause()"),
        LogFile(tmp_path / "log"),
        ready_seconds=0.2,
        on_event=events.append,
    )
    with trio.fail_after(20):
        assert await supervised.run() == -signal.SIGKILL
    assert "not ready after" in events[-1].reason


async def test_stop_ends_the_program_and_the_run(tmp_path: Path) -> None:
    supervised = Supervised("x", launching(SERVE), LogFile(tmp_path / "log"), restarts=Restarts())
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervised.run)
            await supervised.wait_ready()
            await supervised.stop()
    assert supervised.state is State.STOPPED
    assert supervised.pid is None


async def test_a_stop_before_the_run_has_begun_is_not_lost(tmp_path: Path) -> None:
    supervised = Supervised("x", launching(SERVE), LogFile(tmp_path / "log"), restarts=Restarts())
    await supervised.stop()
    with trio.fail_after(20):
        assert await supervised.run() is None
    assert supervised.starts == 0


async def test_stop_during_a_pause_does_not_wait_for_its_end(tmp_path: Path) -> None:
    backing_off = trio.Event()

    def note(event: SupervisorEvent) -> None:
        if event.state is State.BACKING_OFF:
            backing_off.set()

    supervised = Supervised(
        "x",
        launching("raise SystemExit"),
        LogFile(tmp_path / "log"),
        restarts=Restarts(first=1000, longest=1000),
        on_event=note,
    )
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervised.run)
            await backing_off.wait()
            await supervised.stop()
    assert supervised.starts == 1


async def test_restart_replaces_even_a_stuck_program_without_a_pause(tmp_path: Path) -> None:
    supervised = Supervised(
        "x", launching(SERVE), LogFile(tmp_path / "log"), restarts=Restarts(first=1000, longest=1000)
    )
    async with owned(supervised):
        await supervised.wait_ready()
        first = supervised.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await supervised.restart()
        assert supervised.state is State.READY
        assert supervised.pid != first
        assert is_gone(first)


async def test_restart_ends_a_pause(tmp_path: Path) -> None:
    backing_off = trio.Event()
    script = (
        f"import os; n = '{tmp_path}/n'; new = not os.path.exists(n); open(n, 'w');"
        f"new and os._exit(1); {SERVE}"
    )

    def note(event: SupervisorEvent) -> None:
        if event.state is State.BACKING_OFF:
            backing_off.set()

    supervised = Supervised(
        "x",
        launching(script),
        LogFile(tmp_path / "log"),
        restarts=Restarts(first=1000, longest=1000),
        on_event=note,
    )
    async with owned(supervised):
        await backing_off.wait()
        await supervised.restart()
        assert supervised.state is State.READY


async def test_a_restart_of_what_its_owner_ends_meanwhile_returns(tmp_path: Path) -> None:
    supervised = Supervised(
        "x", launching(SERVE), LogFile(tmp_path / "log"), restarts=Restarts(first=1000, longest=1000)
    )
    with trio.fail_after(20):
        async with trio.open_nursery() as waiting, owned(supervised):
            await supervised.wait_ready()
            waiting.start_soon(supervised.restart)
            await trio.testing.wait_all_tasks_blocked()
    assert supervised.state is State.STOPPED


async def test_a_program_run_once_is_not_restarted(tmp_path: Path) -> None:
    supervised = Supervised("x", launching(SERVE), LogFile(tmp_path / "log"))
    with pytest.raises(RuntimeError, match="run once"):
        await supervised.restart()


async def test_each_line_is_passed_on(tmp_path: Path) -> None:
    seen: list[str] = []
    script = "print('up', flush=True); print(1); print(2)"
    supervised = Supervised("x", launching(script), LogFile(tmp_path / "log"), on_line=seen.append)
    with trio.fail_after(20):
        await supervised.run()
    assert seen == ["up", "1", "2"]


def test_an_exit_is_put_into_words() -> None:
    assert describe_exit(0) == "ended with status 0"
    assert describe_exit(-6) == "was killed by SIGABRT"
    assert describe_exit(-250) == "was killed by signal 250"

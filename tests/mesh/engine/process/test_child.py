import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
import trio

from mesh.engine.process.child import Process, guarded_argv
from tests.mesh.engine.process.processes import is_gone, seconds_until_gone, start_python
from tests.waiting import until

PYTHON = sys.executable
BOTH_GUARDIANS = pytest.mark.parametrize(
    "watch_pipe",
    [
        pytest.param(False, marks=pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")),
        True,
    ],
    ids=["kernel", "pipe"],
)

PARENT = """
import sys, trio
from mesh.engine.process.child import Process
async def main():
    child = Process(["sleep", "1000"], watch_pipe=sys.argv[1] == "True")
    print(child.pid, flush=True)
    await trio.to_thread.run_sync(lambda: None)
    await trio.sleep_forever()
trio.run(main)
"""


async def collect(process: Process) -> tuple[int, list[str]]:
    lines: list[str] = []
    with trio.fail_after(20):
        return await process.run(lines.append), lines


@BOTH_GUARDIANS
async def test_a_program_runs_with_its_arguments_and_environment_and_both_outputs_are_read(
    watch_pipe: bool,
) -> None:
    script = "import os,sys; print(sys.argv[1:], os.environ['X'], flush=True); print('e', file=sys.stderr)"
    environment = {**os.environ, "X": "y z"}
    process = Process([PYTHON, "-c", script, "a b", "--"], environment=environment, watch_pipe=watch_pipe)
    assert await collect(process) == (0, ["['a b', '--'] y z", "e"])


@BOTH_GUARDIANS
async def test_the_exit_status_is_the_programs(watch_pipe: bool) -> None:
    code, _ = await collect(Process([PYTHON, "-c", "raise SystemExit(7)"], watch_pipe=watch_pipe))
    assert code == 7


async def test_a_program_that_is_not_there_ends_with_127_and_says_so() -> None:
    code, lines = await collect(Process(["/nonexistent/program"]))
    assert code == 127
    assert "/nonexistent/program" in lines[-1]


@BOTH_GUARDIANS
async def test_a_killed_parent_takes_its_child_along_within_two_seconds(watch_pipe: bool) -> None:
    parent = start_python(PARENT, str(watch_pipe))
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(await trio.to_thread.run_sync(parent.stdout.readline))
        assert not is_gone(child)
        family = [child, *(process.pid for process in psutil.Process(child).children(recursive=True))]
        parent.kill()
        for pid in family:
            assert await seconds_until_gone(pid) < 2.0


async def test_a_child_survives_the_end_of_worker_threads() -> None:
    process = Process(["sleep", "1000"])
    await trio.to_thread.run_sync(lambda: None)
    assert not is_gone(process.pid)
    assert await process.stop(5) == -signal.SIGTERM


async def test_processes_are_refused_outside_the_main_thread() -> None:
    with pytest.raises(RuntimeError, match="main thread"):
        await trio.to_thread.run_sync(lambda: Process(["true"]))


async def test_a_cancelled_run_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    script = f"sleep 1000 & echo $! > {note}; wait"
    process = Process(["sh", "-c", script])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run, print)
            await until(lambda: note.exists() and note.read_text().endswith("\n"))
            nursery.cancel_scope.cancel()
    assert process.returncode == -signal.SIGTERM
    assert await seconds_until_gone(int(note.read_text())) < 2.0


async def test_a_program_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    script = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);print('on', flush=True); signal.pause()"
    )
    process = Process([PYTHON, "-c", script])
    ignoring = trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.run, lambda line: ignoring.set())
            await ignoring.wait()
            assert await process.stop(0.1) == -signal.SIGKILL


async def test_a_stopped_program_can_be_ended() -> None:
    process = Process(["sleep", "1000"])
    process.signal_group(signal.SIGSTOP)
    with trio.fail_after(10):
        await until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        assert await process.stop(0.1) == -signal.SIGKILL


async def test_grandchildren_die_with_a_program_that_crashes() -> None:
    process = Process(["sh", "-c", "sleep 1000 & echo $!; kill -9 $$"])
    code, lines = await collect(process)
    assert code == -signal.SIGKILL
    assert await seconds_until_gone(int(lines[0])) < 2.0


async def test_endless_lines_are_cut() -> None:
    _, lines = await collect(Process([PYTHON, "-c", "print('x' * 100000); print('end')"]))
    assert len(lines[0]) <= 4096
    assert lines[-1] == "end"


async def test_a_program_writing_to_a_closed_socket_is_told_instead_of_killed() -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    _, lines = await collect(Process(["sh", "-c", "grep SigIgn /proc/self/status"]))
    assert int(lines[0].split()[1], 16) & 1 << (signal.SIGPIPE - 1)


async def test_the_niceness_is_the_programs() -> None:
    _, lines = await collect(Process([PYTHON, "-c", "import os; print(os.nice(0))"], niceness=3))
    assert int(lines[0]) == min(19, os.nice(0) + 3)


def test_the_guardians_command_keeps_the_programs_arguments_apart() -> None:
    kernel = guarded_argv(["prog", "--nice=1", "--"], parent=12, niceness=10)
    assert kernel[3].endswith("guardian.py")
    assert kernel[4:] == ["--parent=12", "--nice=10", "--", "prog", "--nice=1", "--"]
    assert guarded_argv(["prog"], parent=12, pipe=5)[4:] == ["--pipe=5", "--nice=0", "--", "prog"]

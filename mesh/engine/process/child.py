"""A child process under trio that dies with this one.

Linux fires PR_SET_PDEATHSIG when the *thread* that spawned the child ends, and trio's own ``open_process``
spawns in a cached worker thread. So children are spawned from the main thread, by ``subprocess.Popen``. An
exec shim (mesh.engine.process.guardian) makes the request instead of ``preexec_fn``, which is not safe with
threads.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import trio

_GUARDIAN = Path(__file__).with_name("guardian.py")
_LONGEST_LINE = 4096
_DRAIN_SECONDS = 1.0


def guarded_argv(
    argv: Sequence[str], *, parent: int, niceness: int = 0, pipe: int | None = None
) -> list[str]:
    """The command that runs ``argv`` under the guardian; with ``pipe`` it watches that descriptor."""
    watch = f"--parent={parent}" if pipe is None else f"--pipe={pipe}"
    return [sys.executable, "-I", "-S", str(_GUARDIAN), watch, f"--nice={niceness}", "--", *argv]


class Process:
    """One running program, in a session of its own: the terminal's Ctrl-C does not reach it before us."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        niceness: int = 0,
        descriptors: Sequence[int] = (),
        watch_pipe: bool = sys.platform != "linux",
    ) -> None:
        """Start ``argv``, which inherits ``descriptors``. Must be called in the main thread.

        Standard output and error come as one stream.

        ``watch_pipe`` chooses the guardian that does not need Linux. Raises OSError where no process can be
        spawned; a missing program ends with status 127.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "processes are started from the main thread: the kernel kills them when their thread ends"
            )
        output, writer = os.pipe()
        self._lifeline: int | None = None
        watched: int | None = None
        if watch_pipe:
            watched, self._lifeline = os.pipe()
        command = guarded_argv(argv, parent=os.getpid(), niceness=niceness, pipe=watched)
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                env=None if environment is None else dict(environment),
                cwd=directory,
                start_new_session=True,
                pass_fds=(*descriptors, *(() if watched is None else (watched,))),
            )
        except BaseException:
            os.close(output)
            self._close_lifeline()
            raise
        finally:
            os.close(writer)
            if watched is not None:
                os.close(watched)
        self.pid = self._popen.pid
        self._output = trio.lowlevel.FdStream(output)
        self._pidfd = _open_pidfd(self.pid)
        self._waiting = trio.Lock()

    @property
    def returncode(self) -> int | None:
        """The exit status once it was waited for; a negative one is the signal that killed the program."""
        return self._popen.returncode

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the program and whatever it started; does nothing when they are gone."""
        if self._popen.returncode is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                pass
            except PermissionError:  # macOS says so of a group that is all zombies
                pass

    async def wait(self) -> int:
        """Wait for the end. Kills what the program started before the system can reuse its process id."""
        async with self._waiting:
            if self._popen.returncode is None:
                if self._pidfd is None:
                    await trio.to_thread.run_sync(self._popen.wait, abandon_on_cancel=True)
                else:
                    await trio.lowlevel.wait_readable(self._pidfd)
                    self.signal_group(signal.SIGKILL)
                    self._popen.wait()
                self._close()
            assert self._popen.returncode is not None
            return self._popen.returncode

    async def stop(self, grace: float) -> int:
        """SIGTERM, and SIGKILL after ``grace`` seconds. Shielded from cancellation: it ends by itself."""
        self.signal_group(signal.SIGTERM)
        with trio.move_on_after(grace, shield=True):
            await self.wait()
        self.signal_group(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await self.wait()
        assert self._popen.returncode is not None
        return self._popen.returncode

    async def run(self, on_line: Callable[[str], None], *, grace: float = 2.0) -> int:
        """Hand over every line of output until the program ends; a cancellation stops the program."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.read_lines, on_line)
                code = await self.wait()
                nursery.cancel_scope.deadline = trio.current_time() + _DRAIN_SECONDS
            return code
        finally:
            await self.stop(grace)
            with trio.CancelScope(shield=True):
                await self._output.aclose()

    async def read_lines(self, on_line: Callable[[str], None]) -> None:
        """Hand over each line (cut at 4096 bytes) without its end, until the output closes."""
        buffer = b""
        while chunk := await self._output.receive_some(65536):
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                on_line(line[:_LONGEST_LINE].decode(errors="replace").rstrip("\r"))
            buffer = buffer[:_LONGEST_LINE]
        if buffer:
            on_line(buffer.decode(errors="replace"))

    def _close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._close_lifeline()

    def _close_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def _open_pidfd(pid: int) -> int | None:
    opener: Callable[[int], int] | None = getattr(os, "pidfd_open", None)  # Linux alone has it
    try:
        return None if opener is None else opener(pid)
    except OSError:  # a kernel before 5.3
        return None

"""Starts the sidecar as a process of its own, and waits for it to answer or to end."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from mesh.control import paths
from mesh.control.control_client import send
from mesh.control.control_errors import ControlError, NotRunning
from mesh.control.operations import INFO, Info
from mesh.wire.errors import MeshError

START_LIMIT = 30.0
"""Seconds in which a sidecar must open its control socket; a cold, slow disk is the worst case."""
END_LIMIT = 30.0
"""Seconds that a sidecar may take to end gracefully."""
LARGEST_LOG = 4 * 1024 * 1024
"""Bytes beyond which the log is rotated before a sidecar is started."""
SECRETS = ("MESH_TOKEN",)
"""Variables that must not stay in a sidecar's environment."""


class Started:
    """A sidecar that this command started."""

    def __init__(self, process: subprocess.Popen[bytes], report: int, log: str, log_size: int) -> None:
        self.process = process
        self._report = report
        self._log = log
        self._log_size = log_size

    def failure(self) -> MeshError:
        """Why it ended: its own report where it left one, else the last lines of its log."""
        with os.fdopen(self._report, "rb") as pipe:
            report = pipe.read(65536)
        try:
            error = json.loads(report)
            return MeshError(error["message"], error["hint"])
        except (ValueError, KeyError, TypeError):
            pass
        with open(self._log, "rb") as file:
            file.seek(max(self._log_size, os.path.getsize(self._log) - 4096))
            last = file.read().decode(errors="replace").strip().splitlines()[-8:]
        code = self.process.returncode
        how = f"with code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        return MeshError("\n".join([f"the sidecar ended {how}", *last]), f"its whole log is {self._log}")

    def end(self) -> None:
        """End it, gracefully first."""
        self.process.terminate()
        try:
            self.process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def give_up(self, state: str) -> None:
        """After a failure: end it, unless it is in a pool by now."""
        if self.process.poll() is None:
            try:
                joined = send(state, INFO.request({}), timeout=5.0)["joined"]
            except MeshError:
                joined = False
            if not joined:
                self.end()
        self.release()

    def release(self) -> None:
        """Let it live on when this command ends."""
        with contextlib.suppress(OSError):
            os.close(self._report)
        self.process.returncode = 0  # else subprocess warns that the child still runs, as it should


@contextlib.contextmanager
def alone(state: str) -> Iterator[None]:
    """Let one command at a time check whether a sidecar runs here and start one; the others wait."""
    with _writing_in(state):
        os.makedirs(state, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(state, "start.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # its holder takes both limits and an election at most
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _writing_in(state: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MeshError(
            f"cannot write in {state}: {error.strerror}", "choose another directory with --state-dir"
        ) from None


def start(state: str, log_format: str, options: Sequence[str]) -> Started:
    """Start a detached ``mesh sidecar`` with `options`, none of them secret; called under `alone`."""
    with _writing_in(state):
        log = paths.log_path(state)
        if os.path.exists(log) and os.path.getsize(log) > LARGEST_LOG:
            os.replace(log, f"{log}.1")
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    size = os.fstat(out).st_size
    report, report_end = os.pipe()
    # -P: a directory that happens to contain a `json.py` must not change what the sidecar runs.
    command = [sys.executable, "-P", "-m", "mesh.cli", "--state-dir", state, "--log-format", log_format]
    command += ["sidecar", "--report-fd", str(report_end), *options]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=(report_end,),
            start_new_session=True,
            cwd="/",
            umask=0o077,
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
        )
        return Started(process, report, log, size)
    finally:
        os.close(out)
        os.close(report_end)


def wait_until_it_answers(state: str, started: Started) -> Info:
    """Wait for the sidecar's first answer, be it the one just started or another command's.

    Raises MeshError.
    """
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        ended = started.process.poll() is not None
        with contextlib.suppress(NotRunning):
            return send(state, INFO.request({}))
        if ended:
            raise started.failure()
        time.sleep(0.03)
    started.end()
    raise ControlError(f"the sidecar did not come up within {START_LIMIT:.0f} s", "see why: mesh logs")


def wait_until_it_ended(pid: int) -> bool:
    """Wait for the process `pid` to end; False when that takes too long."""
    deadline = time.monotonic() + END_LIMIT
    while _alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return not file.read().rpartition(b")")[2].lstrip().startswith(b"Z")  # ended, but not reaped
    except OSError:
        return True  # a /proc that hides it, or there is none; whether it is gone, the next look tells

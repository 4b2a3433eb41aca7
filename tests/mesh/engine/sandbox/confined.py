"""Runs the captive in a confinement, with all around it that it must not reach.

``python -m tests.mesh.engine.sandbox.confined FOLDER CONFINEMENT`` prints the outcome, for another user.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mesh.engine.process.rpc_port import free_port
from mesh.engine.sandbox.confinement import Confinement, environment
from mesh.engine.sandbox.isolation import isolation
from tests.lab.local_user import CHECKOUT, command_as, is_possible, nobody

FILE_BYTES = 1 << 20
DATA_BYTES = 1 << 29
SECRETS = {"MESH_TOKEN": "mesh1:secret", "AWS_SECRET_ACCESS_KEY": "x"}
IS_ROOT = is_possible()
HAS_CELLS = isolation().cells
LIVES = "import time; print('lives', flush=True); time.sleep(1000)"
CAPTIVE = Path(__file__).with_name("captive.py")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the captive's attempts: "done", or an error's name."""

    allowed: dict[str, str]
    attempts: dict[str, str]
    status: dict[str, str]
    variables: list[str]
    descriptors: list[int]

    @property
    def got_out(self) -> list[str]:
        """The attempts that it must not succeed in, and did."""
        return [name for name, came in self.attempts.items() if came == "done"]

    @property
    def is_kept_from(self) -> list[str]:
        """What it needs, and cannot do."""
        return [name for name, came in self.allowed.items() if came != "done"]


def in_a_cell(wanted: Confinement) -> Confinement:
    """The same in a network namespace, with the ports that llama-server has there."""
    return replace(wanted, cell=True, listens=(8080,), connects=(20001,), hears=(20001,))


def on_loopback(wanted: Confinement) -> Confinement:
    """The same on the machine's own loopback."""
    return replace(wanted, listens=(free_port(),), connects=(free_port(),))


@contextmanager
def surroundings(folder: Path, confinement: Confinement) -> Iterator[dict[str, Any]]:
    """Programs, a port, daemons' sockets and files of the user, as the captive gets to know them."""
    (folder / "writes").mkdir(mode=0o700)
    for name in ("secret", "model", "writes/slot-0"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o700 if name == "secret" else 0o600)
    script = shutil.copy(CAPTIVE, folder)
    os.setxattr(folder / "secret", "user.captive", b"x")
    with (
        running(["sleep", "1000"]) as program,
        running(confinement.command([sys.executable, "-ISc", LIVES])) as engine,
        socket.create_server(("127.0.0.1", 0)) as listening,
        daemon(folder / "daemon", socket.SOCK_STREAM) as stream,
        daemon(folder / "datagrams", socket.SOCK_DGRAM) as datagrams,
        semaphores() as set_of_them,
    ):
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"lives\n"
        stream.listen()
        yield {
            "script": script, "folder": str(folder), "secret": str(folder / "secret"),
            "victims": {"a program": program.pid, "the other engine": engine.pid, "its starter": os.getpid()},
            "writes": str(folder / "writes"), "reads": str(folder / "model"), "file_bytes": FILE_BYTES,
            "open_port": listening.getsockname()[1], "daemon": stream.getsockname(),
            "datagrams": datagrams.getsockname(), "semaphores": set_of_them, "elsewhere": free_port(),
        }  # fmt: skip
        assert (program.poll(), engine.poll()) == (None, None)


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs so long."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def daemon(path: Path, kind: socket.SocketKind) -> Iterator[socket.socket]:
    """A socket that everybody may speak to."""
    with socket.socket(socket.AF_UNIX, kind) as bound:
        bound.bind(str(path))
        path.chmod(0o777)
        yield bound


@contextmanager
def semaphores() -> Iterator[int]:
    """System V semaphores of the user."""
    library = ctypes.CDLL(None, use_errno=True)
    made = library.semget(0, 1, 0o666)
    assert made >= 0
    try:
        yield made
    finally:
        library.semctl(made, 0, 0)


def tried(
    folder: Path, confinement: Confinement, runner: Sequence[str] = (), variables: Mapping[str, str] = SECRETS
) -> Outcome:
    """What the captive achieves in that confinement; ``runner`` is a program that it is at first.

    Another engine runs confined alike, as the same user.
    """
    with surroundings(folder, confinement) as around:
        confined = replace(
            confinement, reads=(around["reads"], around["script"]), writes=(around["writes"],),
            file_bytes=FILE_BYTES, data_bytes=None if confinement.device else DATA_BYTES,
        )  # fmt: skip
        given = around | {"device": confined.device, "port": confined.listens[0]}
        given["memory"] = None if confined.device else 2 * DATA_BYTES
        before = metadata(folder)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            if confined.cell:
                confined = replace(confined, line=theirs.fileno())
            captive = [*runner, sys.executable, "-IS", around["script"], json.dumps(given)]
            ended = subprocess.run(
                confined.command(captive), env=environment({**os.environ, **variables}),
                pass_fds=[theirs.fileno()] if confined.cell else [], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False, timeout=60,
                umask=0o077,  # a sidecar's
            )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert metadata(folder) == before
    return Outcome(**json.loads(ended.stdout))


def tried_by_nobody(folder: Path, confinement: Confinement) -> Outcome:
    """The same of a captive whom a user without rights starts, and whose files are that user's; as root."""
    os.chown(folder, nobody(), nobody())
    kept = confinement.command([])[-1]
    command = [sys.executable, "-m", __name__, str(folder), kept]
    ended = subprocess.run(
        command_as(nobody(), command, [folder]), cwd=CHECKOUT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return Outcome(**json.loads(ended.stdout))


def metadata(folder: Path) -> dict[str, tuple[int, int, int, float]]:
    """Of every file below, what the captive would change: times but of what it may write."""
    return {
        str(path): (
            (seen := path.lstat()).st_mode, seen.st_uid, seen.st_gid,
            0.0 if "writes" in path.parts else seen.st_mtime,
        )
        for path in sorted(folder.rglob("*"))
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asdict(tried(Path(sys.argv[1]), Confinement.parse(sys.argv[2])))))

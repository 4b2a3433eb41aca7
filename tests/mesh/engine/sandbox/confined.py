"""Runs the captive in a confinement, with all around it that it must not reach."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mesh.engine.process.rpc_port import free_port
from mesh.engine.sandbox.confinement import Confinement, environment
from mesh.engine.sandbox.isolation import isolation

FILE_BYTES = 1 << 20
DATA_BYTES = 1 << 29
SECRETS = {"MESH_TOKEN": "mesh1:secret", "AWS_SECRET_ACCESS_KEY": "x"}
IS_ROOT = sys.platform == "linux" and os.getuid() == 0
HAS_CELLS = isolation().cells
CAPTIVE = Path(__file__).with_name("captive.py")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the captive's attempts: "done", or an error's name."""

    allowed: dict[str, str]
    attempts: dict[str, str]
    status: dict[str, str]
    variables: list[str]

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
def surroundings(folder: Path) -> Iterator[dict[str, Any]]:
    """A program, a port, a daemon's socket and files of the user, as the captive gets to know them."""
    (folder / "writes").mkdir(mode=0o700)
    for name in ("secret", "model", "writes/slot-0"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)
    script = shutil.copy(CAPTIVE, folder)
    os.setxattr(folder / "secret", "user.captive", b"x")
    victim = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(folder / "daemon"))
        daemon.listen()
        try:
            yield {
                "script": script, "folder": str(folder), "secret": str(folder / "secret"),
                "victim": victim.pid, "writes": str(folder / "writes"), "reads": str(folder / "model"),
                "file_bytes": FILE_BYTES, "open_port": listening.getsockname()[1],
                "daemon": str(folder / "daemon"), "elsewhere": free_port(),
            }  # fmt: skip
            assert victim.poll() is None
        finally:
            victim.kill()
            victim.wait()


def tried(
    folder: Path, confinement: Confinement, runner: Sequence[str] = (), variables: Mapping[str, str] = SECRETS
) -> Outcome:
    """What the captive achieves in that confinement; ``runner`` is a command that runs the rest."""
    with surroundings(folder) as around:
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
            ended = subprocess.run(
                [*runner, *confined.command([sys.executable, "-IS", around["script"], json.dumps(given)])],
                env=environment({**os.environ, **variables}), pass_fds=[theirs.fileno()],
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert metadata(folder) == before
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


def ordinary_user() -> int:
    """A user without rights."""
    return pwd.getpwnam("nobody").pw_uid

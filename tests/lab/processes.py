"""Finding and ending the processes of a lab."""

import os
import socket
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from mesh.control.socket_peer import process_of

_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)
_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.02
_CONNECT_SECONDS = 5.0


def with_variable(
    name: str, accept: Callable[[str], bool], but: Collection[int] = ()
) -> list[psutil.Process]:
    """Processes with an environment variable whose value is accepted; neither zombies nor this process.

    Those whose number is in ``but`` are not looked at, which takes most of the time.
    """
    found = []
    for pid in psutil.pids():
        if pid in but:
            continue
        try:
            process = psutil.Process(pid)
            if process.pid != os.getpid() and _has_variable(process, name, accept) and _runs(process):
                found.append(process)
        except (*_GONE, OSError):
            continue
    return found


def children(parents: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Whatever these processes have started that still is theirs."""
    found = []
    for parent in parents:
        with suppress(*_GONE):
            found += parent.children(recursive=True)
    return found


def in_namespace(file: Path) -> list[psutil.Process]:
    """Processes in the network namespace that is mounted at ``file``; zombies are in none."""
    inode = file.stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/net").stat().st_ino == inode:
                found.append(psutil.Process(int(entry.name)))
        except (OSError, *_GONE):
            continue
    return [process for process in found if process.pid != os.getpid()]


def kill(find: Callable[[], Iterable[psutil.Process]]) -> list[psutil.Process]:
    """Kills what ``find`` finds until it finds nothing (children may be born); returns what would not die.

    One that is dead and not yet buried by its parent (which may be init, in no hurry) counts as gone.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while processes := [process for process in find() if _runs(process)]:
        if time.monotonic() > deadline:
            return processes
        for process in processes:
            with suppress(*_GONE):
                process.kill()
        psutil.wait_procs(processes, timeout=_POLL_SECONDS)
    return []


def sidecar_under(folder: Path) -> psutil.Process | None:
    """The process that listens on a unix socket below the folder that is called mesh*.sock."""
    for path in folder.rglob("mesh*.sock"):
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError, *_GONE):
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(str(path))
            return psutil.Process(process_of(connection))
    return None


def _has_variable(process: psutil.Process, name: str, accept: Callable[[str], bool]) -> bool:
    try:
        value = process.environ().get(name)
    except psutil.AccessDenied:
        # None but root looks into a sidecar; but the folders of its run and its host are in its arguments.
        paths = [word.split("/") for word in process.cmdline() if word.startswith("/")]
        return any(
            accept(part) or accept(f"{part}/{after}") for path in paths for part, after in pairwise(path)
        )
    return value is not None and accept(value)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False

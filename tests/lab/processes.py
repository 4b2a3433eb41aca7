"""Finding and ending the processes of a lab."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)
_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.02


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
            value = process.environ().get(name)
            if value is not None and accept(value) and process.pid != os.getpid() and _runs(process):
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


def listens_on_control_socket_under(process: psutil.Process, folder: Path) -> bool:
    """Whether the process itself listens on a unix socket below the folder that is called mesh*.sock."""
    paths = [Path(path) for path in _listening_paths(process)]
    return any(path.is_relative_to(folder) and path.match("mesh*.sock") for path in paths)


def _listening_paths(process: psutil.Process) -> list[str]:
    """The unix sockets that the process listens on; psutil would look into our own namespace."""
    try:
        table = Path(f"/proc/{process.pid}/net/unix").read_text().splitlines()[1:]
        held = set(_links(Path(f"/proc/{process.pid}/fd")))
    except FileNotFoundError:
        return _listening_paths_without_proc(process)
    except OSError:
        return []
    paths = []
    for line in table:
        # Num RefCount Protocol Flags Type St Inode Path; the flag is __SO_ACCEPTCON
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & 0x10000 and f"socket:[{fields[6]}]" in held:
            paths.append(fields[7])
    return paths


def _links(folder: Path) -> Iterator[str]:
    """Where the links in a folder point; one that is gone by then is left out."""
    for link in folder.iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(link)


def _listening_paths_without_proc(process: psutil.Process) -> list[str]:
    try:
        return [str(entry.laddr) for entry in process.net_connections("unix") if entry.laddr]
    except _GONE:
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False

"""A lab: some hosts, made when asked for, all gone when it is closed."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import psutil

from tests.lab import disks, loopback, namespaces, processes
from tests.lab.host import Host
from tests.lab.owners import PREFIX, RUN_VARIABLE, is_abandoned, new_run, run_of

_NAMES = ("anna", "bert", "cara", "dora", "emil", "fred", "gina", "hugo")
MAX_HOSTS = 250
# The runs of the labs of this process that are not closed yet.
_open: set[str] = set()


class Lab:
    """Use as a context manager. ``with_namespaces`` None means: where it is possible.

    Its folder has a short path, unlike pytest's: a unix socket's path has at most about 100 bytes.
    """

    def __init__(self, with_namespaces: bool | None = None) -> None:
        remove_abandoned()
        self.run = new_run()
        self.with_namespaces = namespaces.available() if with_namespaces is None else with_namespaces
        self._folder = Path(tempfile.gettempdir()) / self.run
        self._hosts: list[Host] = []
        self._switch: str | None = None
        self._block: str | None = None
        self._claim: socket.socket | None = None

    def __enter__(self) -> "Lab":
        self._folder.mkdir(mode=0o700)
        _open.add(self.run)
        try:
            if self.with_namespaces:
                self._switch = namespaces.add_switch(self.run)
            else:
                self._block, self._claim = loopback.claim_block()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def host(self, name: str = "") -> Host:
        """One more host; it is called ``name`` or the next of a fixed list."""
        number = len(self._hosts) + 1
        if number > MAX_HOSTS:
            raise RuntimeError(f"a lab has room for {MAX_HOSTS} hosts")
        name = name or (_NAMES[number - 1] if number <= len(_NAMES) else f"host{number}")
        folder = self._folder / name
        folder.mkdir()
        if self._switch is not None:
            namespace, address = namespaces.add_host(self.run, self._switch, number, name)
            made = Host(name, address, folder, self.run, number, namespace, self._switch)
        else:
            made = Host(name, f"{self._block}.{number}", folder, self.run)
        self._hosts.append(made)
        return made

    def hosts(self, count: int) -> list[Host]:
        """So many more hosts."""
        return [self.host() for _ in range(count)]

    def close(self) -> None:
        """Ends every process, deletes every namespace and folder, and fails when anything is left."""
        hosts, self._hosts = self._hosts, []
        undying = [process for host in hosts for process in host.end()]
        left = remove(self.run)
        _open.discard(self.run)
        if self._claim is not None:
            self._claim.close()
        assert not undying, f"processes of the lab would not die: {undying}"
        assert not left, f"the lab left something behind: {left}"


def is_in_open_lab(process: psutil.Process) -> bool:
    """Whether the process belongs to a lab of this process that will end it when it is closed."""
    try:
        return process.environ().get(RUN_VARIABLE) in _open
    except (psutil.Error, OSError):
        return False


def remove_abandoned() -> None:
    """Clears up after labs whose process is gone without having closed them."""
    folders = Path(tempfile.gettempdir()).glob(f"{PREFIX}-*")
    own = [path.name for path in folders if path.exists() and path.stat().st_uid == os.geteuid()]
    named = [*namespaces.names(), *own]
    for run in {run for name in named if (run := run_of(name)) and is_abandoned(run)}:
        remove(run)


def remove(run: str) -> list[str]:
    """Ends and deletes all that belongs to a run; returns the names of what is still there."""
    mine = [name for name in namespaces.names() if run_of(name) == run]
    processes.kill(lambda: processes.with_variable(RUN_VARIABLE, run.__eq__))
    for name in mine:
        processes.kill(lambda name=name: _processes_in(name))  # type: ignore[misc]
        namespaces.delete(name)
    folder = Path(tempfile.gettempdir()) / run
    disks.unmount_all(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return leftovers(run)


def leftovers(run: str) -> list[str]:
    """Names of the processes, namespaces, mounts and folders of a run that exist now."""
    folder = Path(tempfile.gettempdir()) / run
    table = Path("/proc/self/mounts")
    mounts = (
        [line.split()[1] for line in table.read_text().splitlines() if run in line] if table.exists() else []
    )
    found = [name for name in namespaces.names() if run_of(name) == run]
    found += [
        f"{process.pid} {process.name()}" for process in processes.with_variable(RUN_VARIABLE, run.__eq__)
    ]
    return [*found, *mounts, *([str(folder)] if folder.exists() else [])]


def _processes_in(namespace: str) -> list[psutil.Process]:
    file = namespaces.NETNS / namespace
    return processes.in_namespace(file) if file.exists() else []

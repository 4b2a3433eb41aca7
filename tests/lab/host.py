"""One host of the lab."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
import pytest
import trio

from mesh.engine.install.cache import cache_dir
from tests.lab import disks, namespaces, processes
from tests.lab.client import client_through
from tests.lab.owners import HOST_VARIABLE, RUN_VARIABLE

MESH = Path(sys.executable).with_name("mesh")
# These would lead a host's programs to the settings of the person who runs the tests.
_FOREIGN = ("MESH_", "XDG_", "HOME", "TMPDIR", "VIRTUAL_ENV", "LLAMA_", "PYTHONPATH")


class CommandFailed(AssertionError):
    """A command on a host ended with an exit code other than 0."""


class Host:
    """A machine of the lab: its own network, name, home, state and runtime directory.

    ``address`` is its IPv4 address. ``namespace`` is None when the host is but an address of 127.0.0.0/8.
    """

    def __init__(
        self,
        name: str,
        address: str,
        folder: Path,
        run: str,
        number: int = 0,
        namespace: str | None = None,
        switch: str | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self.namespace = namespace
        self._run_name = run
        self._number = number
        self._switch = switch
        self._started: list[subprocess.Popen[Any]] = []
        self.environment = self._make_environment()

    # -- running programs

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        check: bool = True,
        timeout: float = 60,
        stdin: str = "",
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end; raises :class:`CommandFailed` when it fails and ``check`` is set.

        The program's output is read to its end: a daemon that keeps it open makes this time out.
        """
        result = subprocess.run(
            self.command(argv),
            env=self.environment | environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            start_new_session=True,
        )
        if check and result.returncode != 0:
            line = " ".join(map(str, argv))
            printed = result.stdout + result.stderr
            raise CommandFailed(f"{self.name}: {line} ended with {result.returncode}\n{printed}")
        return result

    async def arun(self, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        """:meth:`run` while other tasks of the test go on."""
        return await trio.to_thread.run_sync(partial(self.run, argv, **options))

    def popen(
        self, argv: Sequence[str | Path], *, stdout: int | IO[Any] | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Starts a program, which the lab ends at the latest.

        What it prints goes to output.log in the host's folder, standard output to ``stdout`` if given.
        """
        with (self.folder / "output.log").open("ab") as log:
            process = subprocess.Popen(
                self.command(argv),
                env=self.environment | environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs ``argv`` on this host; the process id stays that of the first step."""
        words = [str(word) for word in argv]
        if self.namespace is None:
            return words
        enter = [
            "ip",
            "netns",
            "exec",
            self.namespace,
            "unshare",
            "--uts",
            "sh",
            "-c",
            'hostname "$0" && exec "$@"',
        ]
        return [*enter, self.name, *words]

    # -- mesh

    def install(self, program: Path | None) -> None:
        """What the host's mesh commands run from now on: that of a folder, or None for this checkout's.

        A sidecar that runs goes on with its own.
        """
        self.environment.pop("PYTHONPATH", None)
        if program is not None:
            self.environment["PYTHONPATH"] = str(program)

    def mesh(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a mesh command; options are those of :meth:`run`."""
        return self.run(self.mesh_command(*arguments), **options)

    async def amesh(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """:meth:`mesh` while other tasks of the test go on."""
        return await self.arun(self.mesh_command(*arguments), **options)

    def mesh_json(self, *arguments: str | Path, **options: Any) -> dict[str, Any]:
        """Runs a mesh command with ``--json``; returns what it prints, an error too if ``check`` is off."""
        return _object(self.mesh(*arguments, "--json", **options))

    async def amesh_json(self, *arguments: str | Path, **options: Any) -> dict[str, Any]:
        """:meth:`mesh_json` while other tasks of the test go on."""
        return _object(await self.amesh(*arguments, "--json", **options))

    def status(self) -> dict[str, Any]:
        """What `mesh status --json` prints; also when the host has not joined."""
        return self.mesh_json("status", check=False)

    def mesh_command(self, *arguments: str | Path) -> list[str]:
        """The words of a mesh command; a host without namespace keeps `mesh join` to its own address."""
        words = [str(MESH), *map(str, arguments)]
        if self.namespace is None and arguments and arguments[0] == "join":
            for option, value in (("--bind", self.address), ("--port", "0"), ("--api-port", "0")):
                if option not in words:
                    words += [option, value]
        return words

    def sidecar(self) -> psutil.Process | None:
        """The process that answers `mesh status`: the one listening on a socket in the host's folder."""
        return processes.sidecar_under(self.folder)

    def engine(self, name: str) -> psutil.Process | None:
        """The running process of the engine whose program's name holds ``name``."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if name in process.name() and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        return None

    def kill_sidecar(self, signal_number: int = signal.SIGKILL) -> psutil.Process:
        """Sends the sidecar a signal (kill -9 unless told otherwise); returns the process, to wait for it."""
        process = self.sidecar()
        assert process is not None, f"{self.name} has no sidecar"
        process.send_signal(signal_number)
        return process

    # -- the network

    def socket(
        self, family: socket.AddressFamily = socket.AF_INET, kind: socket.SocketKind = socket.SOCK_STREAM
    ) -> socket.socket:
        """A socket of this process that lives on the host; it connects from there and listens there."""
        if self.namespace is not None:
            return namespaces.inside(self.namespace, lambda: socket.socket(family, kind))
        return socket.socket(family, kind)

    async def connect(self, address: str, port: int, seconds: float = 10) -> trio.SocketStream:
        """A TCP connection from this host; trio.TooSlowError when it takes longer than so many seconds."""
        connection = trio.socket.from_stdlib_socket(self.socket())
        try:
            if self.namespace is None:
                await connection.bind((self.address, 0))
            with trio.fail_after(seconds):
                await connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        return trio.SocketStream(connection)

    def http(self, base_url: str = "", timeout: float = 60) -> httpx.AsyncClient:
        """An HTTP client on trio whose connections start on this host; use it in ``async with``."""
        return client_through(self.connect, base_url, timeout)

    def cut(self, silent: bool = False) -> None:
        """Cuts the host off: its link goes down, or (``silent``) stays up while nothing passes."""
        if self._switch is None:
            pytest.skip("cutting a host off needs network namespaces (root on Linux)")
        port = namespaces.port(self._number)
        namespaces.batch(self._switch, f"link set {port} nomaster" if silent else f"link set {port} down")

    def strand(self) -> None:
        """Moves the host's cable to an island, where it reaches only those that are stranded as well."""
        if self._switch is None:
            pytest.skip("a partition needs network namespaces (root on Linux)")
        namespaces.add_island(self._switch)
        namespaces.batch(self._switch, f"link set {namespaces.port(self._number)} master {namespaces.ISLAND}")

    def heal(self) -> None:
        """Undoes :meth:`cut`, of either kind, and :meth:`strand`."""
        if self._switch is not None:
            port = namespaces.port(self._number)
            namespaces.batch(self._switch, f"link set {port} master br0", f"link set {port} up")

    def narrow(self, megabits: float, queue_seconds: float = 0.4) -> None:
        """Lets the host's cable carry so many Mbit/s each way, with a queue before it as long as that."""
        if self.namespace is None or self._switch is None:
            pytest.skip("a narrow link needs network namespaces (root on Linux)")
        namespaces.narrow(self.namespace, namespaces.INTERFACE, megabits, queue_seconds)
        namespaces.narrow(self._switch, namespaces.port(self._number), megabits, queue_seconds)

    # -- the disk

    def own_disk(self) -> None:
        """Gives the host's state a disk of its own, where that is possible; call it before all else."""
        if self.namespace is not None:
            disks.mount(self._state_home)

    def fill_disk(self, of_files: bool = True) -> None:
        """Leaves no room on the disk that `own_disk` gave, nor for files, until `free_disk`."""
        if self.namespace is None:
            pytest.skip("a full disk needs a mount (root on Linux)")
        disks.fill(self._state_home, of_files)

    def free_disk(self) -> None:
        """Undoes `fill_disk`, if it has been done."""
        if disks.mounts_below(self._state_home):
            disks.free(self._state_home)

    @property
    def _state_home(self) -> Path:
        return Path(self.environment["XDG_STATE_HOME"])

    # -- the end

    def processes(self) -> list[psutil.Process]:
        """All processes on this host."""
        mark = f"{self._run_name}/{self.name}"
        found = processes.with_variable(HOST_VARIABLE, mark.__eq__)
        if self.namespace is not None:
            found += processes.in_namespace(namespaces.NETNS / self.namespace)
        # An engine is not told the variable, and has a network of its own; its parent was, and has not.
        found += processes.children(found)
        # One that was started a moment ago has not got its environment yet.
        young = [process.pid for process in self._started if process.poll() is None]
        found += [psutil.Process(pid) for pid in young if psutil.pid_exists(pid)]
        return list({process.pid: process for process in found}.values())

    def end(self) -> list[psutil.Process]:
        """Kills everything on the host; returns what would not die."""
        left = processes.kill(self.processes)
        for process in self._started:
            if process.stdout is not None:
                process.stdout.close()
            process.wait(timeout=5)
        return left

    def _make_environment(self) -> dict[str, str]:
        home = self.folder / "home"
        folders = {
            "HOME": home,
            "TMPDIR": self.folder / "tmp",
            "XDG_CACHE_HOME": home / ".cache",
            "XDG_CONFIG_HOME": home / ".config",
            "XDG_DATA_HOME": home / ".local/share",
            "XDG_STATE_HOME": home / ".local/state",
            "XDG_RUNTIME_DIR": self.folder / "run",
        }
        for folder in folders.values():
            folder.mkdir(parents=True, mode=0o700)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        marks = {RUN_VARIABLE: self._run_name, HOST_VARIABLE: f"{self._run_name}/{self.name}"}
        return (
            inherited | {name: str(folder) for name, folder in folders.items()} | marks | _engine_settings()
        )


def _engine_settings() -> dict[str, str]:
    """Hosts share the engine of whoever runs the tests: building one takes minutes."""
    chosen = os.environ.get("MESH_LLAMA_DIR")
    return {"MESH_CACHE_DIR": str(cache_dir())} | ({"MESH_LLAMA_DIR": chosen} if chosen else {})


def _object(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    try:
        printed = json.loads(result.stdout)
    except ValueError:
        printed = None
    assert isinstance(printed, dict), f"not one JSON object: {result.stdout!r} {result.stderr!r}"
    return printed

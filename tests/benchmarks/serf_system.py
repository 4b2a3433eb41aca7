"""serf (https://www.serf.io) as a system to compare: Debian's package, found or fetched."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from mesh.engine.install.cache import cache_dir
from tests.benchmarks.serf_rpc import Client
from tests.benchmarks.systems import AgentError, Unavailable, View, cached
from tests.lab.host import Host

GOSSIP_PORT, RPC_PORT = 7946, 7373
INSTALL_SECONDS = 300
_STATES = {"alive": "alive", "leaving": "left", "left": "left", "failed": "dead"}


class SerfAgent:
    """``serf agent`` asked over its RPC port."""

    def __init__(self, host: Host, program: Path) -> None:
        self.name = host.name
        self._host = host
        self._client: Client | None = None
        # Each host of its own network has its own loopback.
        self._rpc = ("127.0.0.1" if host.namespace else host.address, RPC_PORT)
        arguments = [
            f"-node={host.name}",
            f"-bind={host.address}:{GOSSIP_PORT}",
            f"-rpc-addr={self._rpc[0]}:{self._rpc[1]}",
            "-profile=lan",
            "-log-level=warn",
        ]
        self.process = psutil.Process(host.popen([program, "agent", *arguments]).pid)

    def is_up(self) -> bool:
        try:
            self.view()
        except AgentError:
            return False
        return True

    def found(self) -> str:
        return f"{self._host.address}:{GOSSIP_PORT}"

    def join(self, invitation: str, seconds: float) -> None:
        # A connection of its own: serf answers only when it has joined, and is asked for its view meanwhile.
        client = self._connect()
        try:
            if client.join([invitation], seconds) != 1:
                raise AgentError(f"{self.name} could not join {invitation}")
        finally:
            client.close()

    def view(self) -> View:
        if self._client is None:
            self._client = self._connect()
        try:
            return {name: _STATES.get(status, status) for name, status in self._client.members().items()}
        except AgentError:
            self._client.close()
            self._client = None
            raise

    def _connect(self) -> Client:
        return Client(self._host.socket(), self._rpc)


class SerfSystem:
    """Raises Unavailable where there is no serf; with ``install`` fetches it first, as a Debian package."""

    name = "serf"
    settings = "-profile=lan, not encrypted"

    def __init__(self, install: bool = False) -> None:
        program = find()
        if program is None and install:
            fetch()
            program = find()
        if program is None:
            raise Unavailable("serf is not installed: apt-get install serf, or let --install fetch it")
        self.program = program
        self.version = _version(program)

    def start(self, host: Host) -> SerfAgent:
        return SerfAgent(host, self.program)


def find() -> Path | None:
    """serf on the PATH, or as fetched before."""
    fetched = cached("serf", cache_dir()) / "usr/bin/serf"
    on_path = shutil.which("serf")
    if on_path is not None:
        return Path(on_path)
    return fetched if fetched.exists() else None


def fetch() -> None:
    """Unpack Debian's package into the cache: the system stays as it is, and no service is started.

    Raises Unavailable where that is impossible. Without package lists it needs root, to get them.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("serf comes as a Debian package, and this is no Debian: put serf on the PATH")
    target = cached("serf", cache_dir())
    with tempfile.TemporaryDirectory() as folder:
        problem = _run(["apt-get", "download", "serf"], folder)
        if problem and os.geteuid() == 0:
            problem = _run(["apt-get", "update"], folder) or _run(["apt-get", "download", "serf"], folder)
        packages = list(Path(folder).glob("serf_*.deb"))
        if problem or not packages:
            raise Unavailable(f"serf cannot be fetched: {problem or 'apt-get left no package'}")
        target.mkdir(parents=True, exist_ok=True)
        problem = _run(["dpkg-deb", "-x", str(packages[0]), str(target)], folder)
        if problem:
            raise Unavailable(f"serf's package cannot be unpacked: {problem}")
        (target / "version").write_text(packages[0].name.split("_")[1].replace("%3a", ":"))


def _version(program: Path) -> str:
    """The package's version; the program's own word is that of a development build."""
    fetched = program.parents[2] / "version"
    if fetched.exists():
        return fetched.read_text()
    query = ["dpkg-query", "-W", "-f", "${Version}", "serf"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        own = subprocess.run([program, "version"], capture_output=True, text=True, timeout=30, check=False)
        return own.stdout.partition("\n")[0]


def _run(argv: Sequence[str], folder: str) -> str:
    """What went wrong, else an empty text."""
    result = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    return "" if result.returncode == 0 else (result.stderr.strip() or f"{argv[0]} failed")

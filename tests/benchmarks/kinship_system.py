"""kinship (PyPI) as a system to compare: SWIM with Lifeguard in Rust, inside a small Python program."""

import shutil
import subprocess
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from mesh.control.control_client import ask
from mesh.engine.install.cache import cache_dir
from mesh.wire.errors import MeshError
from tests.benchmarks import kinship_agent
from tests.benchmarks.systems import AgentError, Unavailable, View, cached
from tests.lab.host import Host

PORT = 7946
ANSWER_SECONDS = 5.0
INSTALL_SECONDS = 300


class KinshipAgent:
    """`tests/benchmarks/kinship_agent.py` on a host."""

    def __init__(self, host: Host, library: Path) -> None:
        self.name = host.name
        self._address = f"{host.address}:{PORT}"
        self._socket = str(host.folder / "agent.sock")
        # -P: the folder of the program holds modules with names of others, such as serf.
        program = [sys.executable, "-P", kinship_agent.__file__, self._socket, host.name, self._address]
        self.process = psutil.Process(host.popen(program, PYTHONPATH=str(library)).pid)

    def is_up(self) -> bool:
        try:
            self.view()
        except AgentError:
            return False
        return True

    def found(self) -> str:
        self._ask("join", {"seeds": []}, 30.0)
        return self._address

    def join(self, invitation: str, seconds: float) -> None:
        self._ask("join", {"seeds": [invitation]}, seconds)

    def view(self) -> View:
        answer: View = self._ask("view", {}, ANSWER_SECONDS)
        return answer

    def _ask(self, operation: str, arguments: dict[str, Any], seconds: float) -> Any:
        try:
            return ask(self._socket, operation, arguments, timeout=seconds)
        except MeshError as error:
            raise AgentError(f"{self.name}: {error}") from error


class KinshipSystem:
    """Raises Unavailable where there is no kinship; with ``install`` fetches it into the cache first."""

    name = "kinship"
    settings = "Config.lan(), encrypted"

    def __init__(self, install: bool = False) -> None:
        self._library = cached("kinship", cache_dir())
        if install and not self._library.exists():
            _fetch(self._library)
        found = [one for one in distributions(path=[str(self._library)]) if one.name == "kinship"]
        if not found:
            raise Unavailable("kinship is not there: let --install fetch it")
        self.version = found[0].version

    def start(self, host: Host) -> KinshipAgent:
        return KinshipAgent(host, self._library)


def _fetch(target: Path) -> None:
    """Raises Unavailable when neither uv nor pip gets it within some minutes."""
    uv = shutil.which("uv")
    if uv is None and find_spec("pip") is None:
        raise Unavailable("kinship cannot be fetched: neither uv is on the PATH nor pip is installed")
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    command = [*pip, "install", "--quiet", "--target", str(target), "kinship"]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"kinship cannot be fetched: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"kinship cannot be fetched: {error}") from error

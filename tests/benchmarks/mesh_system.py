"""This project's sidecar as a system to compare."""

from importlib.metadata import version
from typing import Any

import psutil

from mesh.control.control_client import ask
from mesh.control.paths import socket_path
from mesh.wire.errors import MeshError
from tests.benchmarks.systems import AgentError, View
from tests.lab.host import MESH, Host

ANSWER_SECONDS = 5.0


class MeshAgent:
    """A sidecar that offers no work; asked over its control socket, as every `mesh` command asks it."""

    def __init__(self, host: Host) -> None:
        self.name = host.name
        state, no_engine = host.folder / "state", host.folder / "no-engine"
        no_engine.mkdir()
        self._socket = socket_path(str(state))
        arguments = ["--no-work", "--tailscaled-socket", "off", "--name", host.name]
        if host.namespace is None:
            arguments += ["--bind", host.address, "--port", "0", "--api-port", "0"]
        # An engine folder without an engine: the sidecar neither builds one nor runs another's to try it.
        started = host.popen(
            [MESH, "--state-dir", state, "sidecar", *arguments], MESH_LLAMA_DIR=str(no_engine)
        )
        self.process = psutil.Process(started.pid)

    def is_up(self) -> bool:
        try:
            self._ask("info", {}, ANSWER_SECONDS)
        except AgentError:
            return False
        return True

    def found(self) -> str:
        token = self._ask("join", {"found": True}, 30.0)["token"]
        if token is None:
            raise AgentError(f"{self.name} founded a pool but got no invite")
        return str(token)

    def join(self, invitation: str, seconds: float) -> None:
        self._ask("join", {"token": invitation}, seconds)

    def view(self) -> View:
        return {member["name"]: member["state"] for member in self.status()["members"]}

    def status(self) -> Any:
        """What `mesh status --json` prints."""
        return self._ask("status", {}, ANSWER_SECONDS)

    def _ask(self, operation: str, arguments: dict[str, Any], seconds: float) -> Any:
        try:
            return ask(self._socket, operation, arguments, timeout=seconds)
        except MeshError as error:
            raise AgentError(f"{self.name}: {error}") from error


class MeshSystem:
    """The sidecar with the settings it comes with, which suit a LAN."""

    name = "mesh"
    settings = "LAN settings; all datagrams signed, streams in TLS"

    def __init__(self) -> None:
        self.version = version("frankenstein-mesh")

    def start(self, host: Host) -> MeshAgent:
        return MeshAgent(host)

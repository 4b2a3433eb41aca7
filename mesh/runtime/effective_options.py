"""The options a node runs with: those just given, then those it was given before, then the defaults."""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.control.operations import OptionValues
from mesh.control.sidecar_options import SidecarOptions
from mesh.gateway.api_key import read_api_key
from mesh.runtime.state import StateDir
from mesh.wire.errors import MeshError

DEFAULT_PORT = 50052
DEFAULT_API_PORT = 50080


# What settings.json may hold; anything else in it counts as not there.
_KINDS = {
    "name": str,
    "memory": int,
    "work": bool,
    "lead": bool,
    "bind": str,
    "port": int,
    "api_port": int,
    "listen": str,
    "api_key": str,
    "tailscaled_socket": str,
}


@dataclass(frozen=True, slots=True)
class Effective:
    """All of them, filled in; ``memory`` in bytes, None leaves it to measuring."""

    name: str
    memory: int | None
    work: bool
    lead: bool
    bind: str | None
    port: int
    api_port: int
    listen: str | None
    api_key: Path | None
    tailscaled_socket: str | None

    def values(self) -> OptionValues:
        return {
            "name": self.name,
            "memory": self.memory,
            "work": self.work,
            "lead": self.lead,
            "bind": self.bind,
            "port": self.port,
            "api_port": self.api_port,
            "listen": self.listen,
            "api_key": None if self.api_key is None else str(self.api_key),
            "tailscaled_socket": self.tailscaled_socket,
        }


def settle(options: SidecarOptions, state: StateDir) -> Effective:
    """Fill in what was not given from the last time or the defaults, and remember it for the next."""
    stored: dict[str, Any] = state.load("settings")

    def value(name: str, default: Any) -> Any:
        given = getattr(options, name)
        if given is not None:
            return given
        kept = stored.get(name)
        return kept if type(kept) is _KINDS[name] else default

    key = value("api_key", None)
    effective = Effective(
        name=value("name", platform.node().partition(".")[0] or "node"),
        memory=value("memory", None),
        work=value("work", True),
        lead=value("lead", True),
        bind=value("bind", None),
        port=value("port", DEFAULT_PORT),
        api_port=value("api_port", DEFAULT_API_PORT),
        listen=value("listen", None),
        api_key=None if key is None else Path(key),
        tailscaled_socket=value("tailscaled_socket", None),
    )
    if effective.listen is not None and effective.api_key is None:
        raise MeshError(
            "--listen opens the API to the network and needs a key",
            "write one word into a file: --api-key FILE",
        )
    if effective.listen is not None and effective.api_key is not None:
        read_api_key(effective.api_key)  # to fail now rather than in a pool
    if dict(effective.values()) != stored:
        state.save("settings", dict(effective.values()))
    return effective

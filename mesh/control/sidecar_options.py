"""What a sidecar is started with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class SidecarOptions:
    """The options of ``mesh join`` that shape a node. None: not given, the stored setting stands.

    `memory` is in bytes. `work` and `lead` say whether this node offers itself for that. `bind` is an address
    to bind and advertise; `listen` a further address for the API, which then asks for the key in the file
    `api_key`. `tailscaled_socket` is a path, or ``off``. `foreground` says that a person watches: the log
    goes to stderr as well.
    """

    state_dir: Path
    log_format: Literal["text", "json"] = "text"
    name: str | None = None
    memory: int | None = None
    work: bool | None = None
    lead: bool | None = None
    bind: str | None = None
    port: int | None = None
    api_port: int | None = None
    listen: str | None = None
    api_key: Path | None = None
    tailscaled_socket: str | None = None
    foreground: bool = False

"""The options of a sidecar. Each option of a node is declared here, once: a field of `NodeOptions`.

All else follows from the fields: the options of the command line with their ``MESH_*`` variables and keys of
the configuration file, what ``mesh join`` passes on to the sidecar, what is remembered, and the node's
options in force. Values are those of JSON: a path is text.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from mesh.wire.errors import MeshError
from worker.memory_option import MemoryOption, parse_memory

DEFAULT_PORT = 50052
DEFAULT_API_PORT = 50080


def _memory(text: str) -> MemoryOption:
    """``8G``, ``512M``, ``1.5GiB`` as bytes; ``cuda0=20G,cpu=0`` as text with amounts in bytes."""
    try:
        return parse_memory(text)
    except MeshError as error:
        raise ValueError(str(error)) from None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
            raise ValueError(f"{text!r} is not a whole number from {least}")
        return int(text)

    return read


def _name(text: str) -> str:
    if not 0 < len(text.encode()) <= 63:
        raise ValueError("a name has 1 to 63 bytes")
    return text


def _file(text: str) -> str | None:
    """The absolute path, since the sidecar runs in another directory; None for an empty text."""
    return os.path.abspath(os.path.expanduser(text)) if text else None


def _socket(text: str) -> str | None:
    return _file(text) if text not in ("", "off") else text


def _host_name() -> str:
    return os.uname().nodename.partition(".")[0] or "node"


def _cli(
    help: str, metavar: str | None = None, read: Callable[[str], Any] = str, *, rare: bool = False
) -> Mapping[str, Any]:
    """How the command line takes an option; ``read`` raises ValueError with what it expected.

    Help leaves out a ``rare`` one, which stands in the configuration file as a rule.
    """
    return {"help": help, "metavar": metavar, "read": read, "rare": rare}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """The options that shape a node, all filled in. The types: str, int, bool, or some of them and None."""

    name: str = field(
        default_factory=_host_name,
        metadata=_cli("what this machine is called (its host name)", "N", _name),
    )
    memory: int | str | None = field(
        default=None, metadata=_cli("memory to offer (most of what is free)", "8G|DEVICE=8G,..", _memory)
    )
    """In bytes, or by device (`worker.memory_option`); None leaves it to measuring."""
    work: bool = field(default=True, metadata=_cli("hold layers for the pool (yes)"))
    lead: bool = field(default=True, metadata=_cli("be ready to lead the pool (yes)"))
    bind: str | None = field(default=None, metadata=_cli("bind and advertise this address alone", "ADDR"))
    port: int = field(
        default=DEFAULT_PORT,
        metadata=_cli("the mesh's port; 0 picks a free one", f"{DEFAULT_PORT}", _port),
    )
    api_port: int = field(
        default=DEFAULT_API_PORT,
        metadata=_cli("the API's port; 0 picks a free one", f"{DEFAULT_API_PORT}", _port),
    )
    listen: str | None = field(default=None, metadata=_cli("answer the API here too, with --api-key", "ADDR"))
    api_key: str | None = field(
        default=None, metadata=_cli("file with the key that clients need at --listen", "FILE", _file)
    )
    """The path of the key's file, never the key."""
    tailscaled_socket: str | None = field(
        default=None, metadata=_cli("tailscaled's socket, where it is unusual", "PATH|off", _socket)
    )

    ask_in_flight: int = field(
        default=16,
        metadata=_cli("requests of a member that this leader answers at once", "16", _number(1), rare=True),
    )
    ask_queued: int = field(
        default=64,
        metadata=_cli("requests of a member that wait here", "64", _number(1), rare=True),
    )
    ask_tokens_per_minute: int = field(
        default=0,
        metadata=_cli("tokens a minute for a member; 0: any number", "0", _number(0), rare=True),
    )
    ask_limits_owners: bool = field(
        default=False, metadata=_cli("hold owners to these limits too (no)", rare=True)
    )

    def values(self) -> dict[str, Any]:
        """As JSON, by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class NodeOption:
    """A field of `NodeOptions`, for code that treats all options alike."""

    name: str
    kinds: tuple[type, ...]
    """Of its values: str, int, or bool, which makes it a switch."""
    help: str
    metavar: str | None
    read: Callable[[str], Any]
    rare: bool

    @property
    def is_switch(self) -> bool:
        return self.kinds == (bool,)

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def declared() -> list[NodeOption]:
    """All options of a node, in the order in which help lists them."""
    return [NodeOption(each.name, _kinds(each.type), **each.metadata) for each in fields(NodeOptions)]


def _kinds(annotation: object) -> tuple[type, ...]:
    """The types that a field takes, without None."""
    given = get_args(annotation) or (annotation,)
    return tuple(kind for kind in (str, int, bool) if kind in given)


def fill_in(given: Mapping[str, Any], remembered: Mapping[str, Any]) -> NodeOptions:
    """The options as given, else as remembered, else the default.

    A remembered value of another type, as in a file that a person edited, counts as absent.
    """
    kept = {
        option.name: remembered[option.name]
        for option in declared()
        if type(remembered.get(option.name)) in option.kinds
    }
    return NodeOptions(**{**kept, **given})


@dataclass(frozen=True, slots=True)
class SidecarOptions:
    """The options with which ``mesh join`` starts a sidecar."""

    state_dir: Path
    log_format: Literal["text", "json"] = "text"
    given: Mapping[str, Any] = field(default_factory=dict)
    """Values of `NodeOptions` by name; absent ones are taken from those remembered."""
    foreground: bool = False
    """A person watches: the log goes to stderr as well."""

"""The options that shape a node: taken by ``mesh join``, passed on to ``mesh sidecar``."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from mesh.cli import option_values
from mesh.cli.options import Options, UsageError

if TYPE_CHECKING:
    from mesh.control.sidecar_options import SidecarOptions

_VALUES = ("name", "memory", "bind", "port", "api_port", "listen", "api_key", "tailscaled_socket")
_SWITCHES = ("work", "lead")


def configure(options: Options) -> None:
    options.value("--name", metavar="N", help="what this machine is called (its host name)")
    options.value(
        "--memory", convert=option_values.memory, metavar="8G", help="memory to offer (most of what is free)"
    )
    options.switch("--work", help="hold layers for the pool (yes)")
    options.switch("--lead", help="be ready to lead the pool (yes)")
    options.value("--bind", metavar="ADDR", help="bind and advertise this address alone")
    options.value(
        "--port", convert=option_values.port, metavar="50052", help="the mesh's port; 0 picks a free one"
    )
    options.value(
        "--api-port", convert=option_values.port, metavar="50080", help="the API's port; 0 picks a free one"
    )
    options.value("--listen", metavar="ADDR", help="answer the API here too; takes --api-key")
    options.value("--api-key", metavar="FILE", help="file with the key that --listen asks clients for")
    options.value("--tailscaled-socket", metavar="PATH|off", help="tailscaled's socket, where it is unusual")


def sidecar_options(args: argparse.Namespace, state: str, foreground: bool = False) -> "SidecarOptions":
    """The options as the sidecar takes them. Raises `UsageError` where they contradict each other."""
    from pathlib import Path

    from mesh.control.sidecar_options import SidecarOptions

    if args.listen and not args.api_key:
        raise UsageError("--listen opens the API to others, so it takes --api-key FILE")
    if args.api_key and not args.listen:
        raise UsageError("--api-key FILE goes with --listen ADDR")
    if args.name is not None and not 0 < len(args.name.encode()) <= 63:
        raise UsageError("a name has 1 to 63 bytes")
    socket = args.tailscaled_socket
    return SidecarOptions(
        state_dir=Path(state),
        log_format=args.log_format,
        name=args.name,
        memory=args.memory,
        work=args.work,
        lead=args.lead,
        bind=args.bind,
        port=args.port,
        api_port=args.api_port,
        listen=args.listen,
        api_key=Path(_absolute(args.api_key)) if args.api_key else None,
        tailscaled_socket=_absolute(socket) if socket and socket != "off" else socket,
        foreground=foreground,
    )


def given(options: "SidecarOptions") -> dict[str, Any]:
    """What was asked for, as JSON values: the options that are not None."""
    asked = {name: getattr(options, name) for name in (*_VALUES, *_SWITCHES)}
    return {
        name: str(value) if isinstance(value, os.PathLike) else value
        for name, value in asked.items()
        if value is not None
    }


def as_arguments(options: "SidecarOptions") -> list[str]:
    """The same as a command line for ``mesh sidecar``; none of it is secret."""
    arguments = []
    for name, value in given(options).items():
        dashed = name.replace("_", "-")
        if name in _SWITCHES:
            arguments.append(f"--{dashed}" if value else f"--no-{dashed}")
        else:
            arguments.append(f"--{dashed}={value}")
    return arguments


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))

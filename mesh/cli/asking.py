"""What most commands do: find this node's socket, ask, and print the answer."""

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from mesh.control import paths
from mesh.control.control_client import ask
from mesh.control.control_errors import Evicted, NotRunning


def state_of(args: argparse.Namespace) -> str:
    """The state directory that this command line means."""
    return paths.state_dir(args.state_dir)


def ask_sidecar(
    args: argparse.Namespace,
    op: str,
    arguments: Mapping[str, Any] | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Any:
    """The result of `op`; callers annotate it with its type in mesh.control.operations."""
    state = state_of(args)
    try:
        return ask(paths.socket_path(state), op, arguments, on_event)
    except NotRunning:
        with contextlib.suppress(OSError), open(paths.eviction_path(state), encoding="utf-8") as file:
            raise Evicted(file.read(500)) from None
        raise


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2))


def invocation(args: argparse.Namespace) -> str:
    """``mesh``, with the state directory where that is not the default: for lines that people copy."""
    if not args.state_dir or os.environ.get("MESH_STATE_DIR") == args.state_dir:
        return "mesh"
    from shlex import quote

    return f"mesh --state-dir {quote(args.state_dir)}"

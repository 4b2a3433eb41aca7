"""What most commands do: find this node's socket, ask, and print the answer."""

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from mesh.control import paths
from mesh.control.control_client import send
from mesh.control.control_errors import Evicted, NotRunning
from mesh.control.operations import OperationRequest

Result = TypeVar("Result", bound=Mapping[str, Any])


def state_of(args: argparse.Namespace) -> str:
    """The state directory that this command line names."""
    return paths.state_dir(args.state_dir)


def ask_sidecar(
    args: argparse.Namespace,
    request: OperationRequest[Result],
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """The sidecar's answer. Raises Evicted if the sidecar recorded that its node was evicted."""
    state = state_of(args)
    with evictions_told(state):
        return send(state, request, on_event)


@contextlib.contextmanager
def evictions_told(state: str) -> Iterator[None]:
    """Raise Evicted in place of NotRunning where the sidecar recorded that its node was evicted."""
    try:
        yield
    except NotRunning:
        with contextlib.suppress(OSError), open(paths.eviction_path(state), encoding="utf-8") as file:
            raise Evicted(file.read(500)) from None
        raise


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2))


def invocation(args: argparse.Namespace) -> str:
    """``mesh``, with the state directory if it is not the default: for lines that people copy."""
    if not args.state_dir or os.environ.get("MESH_STATE_DIR") == args.state_dir:
        return "mesh"
    from shlex import quote

    return f"mesh --state-dir {quote(args.state_dir)}"

"""``mesh leave``."""

import argparse
import os

from mesh.cli.asking import ask_sidecar, state_of
from mesh.cli.options import Options
from mesh.control.control_errors import ControlError, NotJoined, NotRunning
from mesh.control.operations import LEAVE

DESCRIPTION = """\
Leave the pool: the others are told, the memory is freed, the sidecar ends. This node's identity is kept for
the next time, unless it is purged."""
EXAMPLE = "  mesh leave"


def configure(options: Options) -> None:
    options.flag("--purge", help="forget the identity too, and all other state of this node")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.spawning import wait_until_it_ended
    from mesh.cli.terminal import ProgressBar, clean

    try:
        with ProgressBar() as progress:
            result = ask_sidecar(args, LEAVE.request({"purge": args.purge}), progress.show)
    except NotRunning:
        return _without_sidecar(state_of(args), args.purge)
    if not wait_until_it_ended(result["pid"]):
        raise ControlError(
            f"this machine has left, but its sidecar, process {result['pid']}, still runs",
            f"end it: kill -9 {result['pid']}",
        )
    print(f"left pool {clean(result['pool']['name'])}")
    return 0


def _without_sidecar(state: str, purge: bool) -> int:
    """Forget the pool, so that no later join returns to it; without a sidecar the others are not told."""
    if not os.path.isdir(state):
        raise NotRunning
    from pathlib import Path

    from mesh.runtime.state import StateDir

    directory = StateDir(Path(state))
    if not purge and directory.current_pool() is None:
        raise NotJoined
    directory.lock()
    if purge:
        directory.purge()
        print(f"removed {state}")
    else:
        directory.abandon()
        print("left the pool; no sidecar was running, so the others were not told")
    return 0

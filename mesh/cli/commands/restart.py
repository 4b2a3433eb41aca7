"""``mesh restart``."""

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.cli.asking import evictions_told, invocation, state_of
from mesh.cli.options import Options
from mesh.control.control_client import process_at
from mesh.control.control_errors import ControlError, NotJoined, NotRunning
from mesh.control.operations import JoinResult

if TYPE_CHECKING:
    from mesh.runtime.state import StateDir

DESCRIPTION = """\
End the sidecar in order and start the installed program in its place, in the background: after an upgrade.
It runs with the same options and stays a member of its pool. To change options: mesh join OPTIONS."""
EXAMPLE = "  mesh restart"


def configure(options: Options) -> None:
    """It takes no options of its own."""


def run(args: argparse.Namespace) -> int:
    from mesh.cli.commands.join import summary
    from mesh.cli.spawning import alone
    from mesh.cli.terminal import ProgressBar

    state = state_of(args)
    with ProgressBar() as progress, evictions_told(state):
        if not os.path.isdir(state):
            raise NotRunning  # and no directory is made
        with alone(state):
            result = _restart(state, args.log_format, progress.show)
    print(summary(result, invocation(args), member="back in pool"))
    return 0


def _restart(state: str, log_format: str, tell: Callable[[Any], None]) -> JoinResult:
    """Raises NotRunning or NotJoined where there is no membership to go on with."""
    from mesh.cli.spawning import start, wait_until_it_answers
    from mesh.control.control_client import send
    from mesh.control.operations import JOIN
    from mesh.runtime.state import StateDir

    process = process_at(state)
    directory = StateDir(Path(state))
    if directory.current_pool() is None:
        raise NotJoined
    # Said before it ends: where nobody reads on, nothing has ended that would not be started again.
    tell({"text": f"ending the sidecar (process {process}), and starting the installed program"})
    _end(process)
    started = start(state, _log_format(directory) or log_format, ())
    try:
        if not wait_until_it_answers(state, started)["joined"]:
            raise NotRunning  # it was evicted meanwhile
        result = send(state, JOIN.request({}), tell)
    except BaseException:
        started.give_up(state)
        raise
    started.release()
    return result


def _log_format(directory: "StateDir") -> str | None:
    """The one that the sidecar ran with; None where it was too old to note it."""
    kept = directory.load("settings").get("log_format")
    return kept if kept in ("text", "json") else None


def _end(process: int) -> None:
    """End the sidecar in order: the others see that it leaves, and it stays a member."""
    from mesh.cli.spawning import wait_until_it_ended

    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise ControlError(
            f"the sidecar (process {process}) runs as another user", "type it as that user"
        ) from None
    if not wait_until_it_ended(process):
        raise ControlError(
            f"the sidecar (process {process}) does not end", f"end it: kill -9 {process}, then: mesh join"
        )

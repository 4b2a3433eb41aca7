"""``mesh sidecar``: the process that ``mesh join`` starts. Not for people, so help does not list it."""

import argparse
import contextlib
import json
import os
import traceback

from mesh.cli import node_options, option_values
from mesh.cli.asking import state_of
from mesh.cli.options import Options
from mesh.wire.errors import MeshError

DESCRIPTION = "Run the sidecar in the foreground; mesh join starts it and then asks it to join."
EXAMPLE = "  mesh --state-dir /var/lib/mesh sidecar --port 50052"


def configure(options: Options) -> None:
    node_options.configure(options)
    options.value(
        "--report-fd",
        convert=option_values.natural,
        metavar="N",
        help="where to write why it could not start",
    )


def run(args: argparse.Namespace) -> int:
    options = node_options.sidecar_options(args, state_of(args))
    if args.report_fd is not None:
        os.set_inheritable(args.report_fd, False)
    try:
        from mesh.root.sidecar import main

        return main(options)
    except MeshError as error:
        _report(args.report_fd, error)
        raise
    except Exception as error:
        traceback.print_exc()  # into the log, as this process has no terminal
        mistake = MeshError(f"a mistake in mesh itself: {error!r}", "the log shows where: mesh logs")
        _report(args.report_fd, mistake)
        raise mistake from error


def _report(descriptor: int | None, error: MeshError) -> None:
    """Tell the command that started this process why it ends."""
    if descriptor is not None:
        text = json.dumps({"message": error.message, "hint": error.hint}).encode()
        with contextlib.suppress(OSError):  # that command has ended
            os.write(descriptor, text)

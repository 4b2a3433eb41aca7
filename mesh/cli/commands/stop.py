"""``mesh stop``."""

import argparse

from mesh.cli.asking import ask_sidecar
from mesh.cli.options import Options
from mesh.control.operations import STOP

DESCRIPTION = "Stop serving; the members stay in the pool and their memory is free again."
EXAMPLE = "  mesh stop"


def configure(options: Options) -> None:
    del options  # it has no options


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean

    result = ask_sidecar(args, STOP.request({}))
    print("nothing was being served" if result["model"] is None else f"stopped {clean(result['model'])}")
    return 0

"""``mesh demo``."""

import argparse

from mesh.cli.options import Options

DESCRIPTION = """\
Show the whole thing on this machine: three nodes, a small model split over them, an answer, a killed leader,
another answer. Leaves nothing behind."""
EXAMPLE = "  mesh demo"


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object with the timings")


def run(args: argparse.Namespace) -> int:
    from mesh.tools.demo import main

    return main(as_json=args.json)

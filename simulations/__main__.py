"""``python -m simulations COMMAND``: each module named here registers the commands that it holds."""

from __future__ import annotations

import argparse
import gc
import sys

from mesh.wire.errors import MeshError
from simulations import chaos_commands, compiled
from simulations.measures import commands as measures


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when it ran, 1 with ``--check`` when a property or a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description=__doc__, allow_abbrev=False)
    parser.add_argument("--compiled", action="store_true", help="in machine code, for long searches")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (chaos_commands, measures):
        module.register(commands)
    options = parser.parse_args(arguments)
    if not options.compiled:
        return int(options.run(options))
    if options.command == "mutants":
        parser.error("mutants cannot be compiled")
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return compiled.run([argument for argument in given if argument != "--compiled"])
    except MeshError as error:
        parser.error(str(error))


if __name__ == "__main__":
    # A world is one large cycle, its events leave hardly any: the collector would take a sixth of the time.
    gc.set_threshold(100_000, 50, 100)
    sys.exit(main())

"""``python -m simulations COMMAND``: each module named here registers the commands that it holds."""

from __future__ import annotations

import argparse
import gc
import sys

from simulations import chaos_commands
from simulations.measures import commands as measures


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when it ran, 1 with ``--check`` when a property or a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (chaos_commands, measures):
        module.register(commands)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    # A world is one large cycle and its events leave hardly any: looking for more takes a sixth of the time.
    gc.set_threshold(100_000, 50, 100)
    sys.exit(main())

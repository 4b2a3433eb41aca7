"""``mesh move``."""

import argparse

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.options import Options
from mesh.control.operations import MOVE

DESCRIPTION = """\
Move the model to the best placement there is now, as after a machine has come back. The pool does this by
itself when it pays for the reload and nobody is being answered; this does it in any case. Conversations are
kept. Running answers finish first, for up to 30 s; requests wait until the model is ready again. Needs the
right `own`."""
EXAMPLE = """\
  mesh plan        where the layers would go
  mesh move        have them go there
  mesh move --now  without waiting: answers pause, and go on there"""


def configure(options: Options) -> None:
    options.flag("--now", help="do not let running answers finish first")
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean

    result = ask_sidecar(args, MOVE.request({"now": args.now}))
    if args.json:
        print_json(result)
    else:
        print(clean(result["text"]))
    return 0

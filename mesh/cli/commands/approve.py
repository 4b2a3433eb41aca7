"""``mesh approve``."""

import argparse

from mesh.cli import option_values
from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.options import Options
from mesh.control.operations import APPROVE

DESCRIPTION = """\
Let in the machine that shows CODE, because `mesh join` runs there and found this pool. Have the code read to
you, or read it yourself; it is never sent, and a wrong one makes the machine show another."""
EXAMPLE = """\
  mesh approve 42-swift-otter-elm                           a volunteer's machine
  mesh approve --rights work,ask,lead,own 42 swift otter elm   a further machine of yours"""


def configure(options: Options) -> None:
    options.parser.add_argument("code", nargs="+", metavar="CODE", help="a number and three words")
    options.value(
        "--rights",
        convert=option_values.rights,
        default=["work", "ask"],
        metavar="work,ask,lead,own",
        help="its rights (work,ask)",
    )
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean

    result = ask_sidecar(args, APPROVE.request({"code": " ".join(args.code), "rights": args.rights}))
    if args.json:
        print_json(result)
    else:
        print(f"{clean(result['name'])} is in the pool, with the rights {', '.join(result['rights'])}")
    return 0

"""``mesh invite``."""

import argparse
import sys

from mesh.cli import option_values
from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.options import Options
from mesh.control.operations import INVITE

DESCRIPTION = """\
Make an invite and print the line that lets another machine join with it. This machine redeems it, so it has
to be up then; whoever has the line has the rights in it.

rights: work  hold layers and compute
        ask   ask the model, through the API of that machine; `own` implies it
        lead  run the model's server and place its layers
        own   decide what is served, invite and evict others"""
EXAMPLE = """\
  mesh invite                                  one volunteer's machine
  mesh invite --rights work,ask,lead,own       a further machine of yours
  mesh invite --rights work                    it computes for others, but may not ask
  mesh invite --rights ask                     it asks, and holds no layers
  mesh invite --uses 20 --expires 7d"""


def configure(options: Options) -> None:
    options.value(
        "--rights",
        convert=option_values.rights,
        default=["work", "ask"],
        metavar="work,ask,lead,own",
        help="its rights (work,ask)",
    )
    options.value(
        "--expires",
        convert=option_values.duration,
        default=86400.0,
        metavar="24h",
        help="how long it is good (24h)",
    )
    options.value(
        "--uses",
        convert=option_values.natural,
        default=1,
        metavar="1",
        help="how many may use it (1); 0: any number",
    )
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import duration, paint

    request = INVITE.request({"rights": args.rights, "expires": args.expires, "uses": args.uses})
    result = ask_sidecar(args, request)
    if args.json:
        print_json(result)
        return 0
    print(f"mesh join {result['token']}")
    uses = {0: "any number of machines", 1: "one machine"}.get(result["uses"], f"{result['uses']} machines")
    what = (
        f"for {uses}, with the rights {', '.join(result['rights'])}, good for {duration(result['expires'])}"
    )
    print(paint(what, "dim", sys.stderr), file=sys.stderr)
    return 0

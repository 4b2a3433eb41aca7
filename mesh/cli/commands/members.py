"""``mesh members``."""

import argparse
from typing import TYPE_CHECKING

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.commands.status import STATE_STYLES, accelerator, layers
from mesh.cli.options import Options
from mesh.control.operations import STATUS

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

DESCRIPTION = "Every member of the pool with its id, address, rights, memory and engine."
EXAMPLE = "  mesh members --json | jq -r '.members[].name'"

HEADING = (
    *("NAME", "ID", "ADDRESS", "STATE", "RIGHTS", "ACCELERATOR"),
    *("OFFERS", "FREE", "TOTAL", "LLAMA.CPP", "LAYERS"),
)


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import size, table

    status = ask_sidecar(args, STATUS.request({}))
    if args.json:
        print_json({"pool": status["pool"], "members": status["members"]})
        return 0
    rows: list[list[Cell]] = [list(HEADING)]
    for member in status["members"]:
        engine = member["llama_cpp"]
        rows.append(
            [
                member["name"],
                member["id"],
                member["address"],
                (member["state"], STATE_STYLES.get(member["state"], "")),
                ",".join(member["rights"]) or "-",
                accelerator(member),
                size(member["memory"]["offered"]),
                size(member["memory"]["free"]),
                size(member["memory"]["total"]),
                f"{engine['commit'][:9]} rpc {engine['rpc']}" if engine else "-",
                layers(member["layers"]),
            ]
        )
    print(table(rows, right=(6, 7, 8)))
    return 0

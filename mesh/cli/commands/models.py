"""``mesh models``."""

import argparse
from typing import TYPE_CHECKING

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.settings import Options

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell
    from mesh.control.operations import ModelsResult, Status

DESCRIPTION = "The models whose files members hold."
EXAMPLE = "  mesh models --json"


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import size, table

    result: ModelsResult = ask_sidecar(args, "models")
    if args.json:
        print_json(result)
        return 0
    if not result["models"]:
        print("no member holds a model; bring one with: mesh serve MODEL.gguf")
        return 0
    status: Status = ask_sidecar(args, "status")
    names = {member["id"]: member["name"] for member in status["members"]}
    rows: list[list[Cell]] = [["NAME", "SIZE", "SHA256", "HELD BY", ""]]
    for model in result["models"]:
        holders = ", ".join(names.get(member, member) for member in model["members"])
        serving: Cell = ("serving", "green") if model["serving"] else ""
        rows.append([model["name"], size(model["size"]), model["sha256"][:12], holders, serving])
    print(table(rows, right=(1,)))
    return 0

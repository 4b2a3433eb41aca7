"""``mesh models``."""

import argparse
from typing import TYPE_CHECKING

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.options import Options
from mesh.control.operations import MODELS, PRUNE, STATUS, CopyMade
from mesh.wire.amounts import size_text

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

DESCRIPTION = """\
The models whose files members hold. Of the one that is served, the leader has copies made, so that another
member can serve it when the leader goes: which, and how far they are, is shown too."""
EXAMPLE = """\
  mesh models --json
  mesh models --prune"""


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object")
    options.flag("--prune", help="remove copies on this machine that nothing deployed uses")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean, columns, table, wrapped

    if args.prune:
        return _prune(args)
    result = ask_sidecar(args, MODELS.request({}))
    if args.json:
        print_json(result)
        return 0
    if not result["models"]:
        print("no member holds a model; bring one with: mesh pull MODEL")
        return 0
    status = ask_sidecar(args, STATUS.request({}))
    names = {member["id"]: member["name"] for member in status["members"]}
    rows: list[list[Cell]] = [["NAME", "SIZE", "SHA256", "HELD BY", ""]]
    for model in result["models"]:
        holders = ", ".join(names.get(member, member) for member in model["members"])
        serving: Cell = ("serving", "green") if model["serving"] else ""
        rows.append([model["name"], size_text(model["size"]), model["sha256"][:12], holders, serving])
    print(table(rows, right=(1,), dispensable=("SHA256", "SIZE")))
    for model in result["models"]:
        for copy in model.get("copies", []):
            line = clean(_copy_line(copy, names.get(copy["member"], copy["member"])))
            print(wrapped(line, columns(), "  "))
    return 0


def _copy_line(copy: CopyMade, name: str) -> str:
    line = f"copy to {name}: {copy['progress']:.0%}"
    if copy["state"] != "idle":
        sources = "1 source" if copy["sources"] == 1 else f"{copy['sources']} sources"
        line += f", {copy['state']}, {size_text(round(copy['rate']))}/s from {sources}"
    return f"{line} ({copy['reason']})" if copy["reason"] else line


def _prune(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean

    result = ask_sidecar(args, PRUNE.request({}))
    if args.json:
        print_json(result)
        return 0
    for copy in result["removed"]:
        print(clean(f"removed {copy['name'] or copy['sha256'][:12]}, {size_text(copy['size'])}"))
    if not result["removed"]:
        print("there is no copy here that nothing deployed uses")
    return 0

"""``mesh members``."""

import argparse
from typing import TYPE_CHECKING

from mesh.cli.asking import print_json
from mesh.cli.commands.status import STATE_STYLES, accelerator, ask_status, layers, members_shown
from mesh.cli.options import Options
from mesh.control.operations import MemberStatus, Status

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

DESCRIPTION = """\
Every member of the pool with its id, address, rights, memory and engine.

Who left is shown by --all alone, for ten minutes; who died is shown for an hour. --json has all of them."""
EXAMPLE = "  mesh members --json | jq -r '.members[].name'"

HEADING = (
    *("NAME", "ID", "ADDRESS", "STATE", "RIGHTS", "ACCELERATOR"),
    *("OFFERS", "FREE", "TOTAL", "LLAMA.CPP", "LAYERS"),
)


def configure(options: Options) -> None:
    options.flag("--all", help="show those that left as well")
    options.flag("--json", help="print one JSON object, with all members")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import count, size, table

    status = ask_status(args)
    if args.json:
        print_json({"pool": status["pool"], "members": status["members"]})
        return 0
    programs = other_programs(status)
    rows: list[list[Cell]] = [[*HEADING, *(["PROGRAM"] if programs else [])]]
    members = status["members"] if args.all else members_shown(status)
    for member in members:
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
                *([programs.get(member["id"], "")] if programs else []),
            ]
        )
    print(table(rows, right=(6, 7, 8)))
    if left := len(status["members"]) - len(members):
        print(f"\n{count(left, 'member')} left; shown with --all")
    return 0


def other_programs(status: Status) -> dict[str, str]:
    """By id, the programs of members that run another than this machine does; most pools have none."""
    programs = {member["id"]: _program(member) for member in status["members"]}
    own = programs.get(status["self"]["id"])
    return {id: program for id, program in programs.items() if program and program != own}


def _program(member: MemberStatus) -> str:
    """Its build, else what it speaks: programs of wire version 2 do not tell their build."""
    versions = member.get("versions")
    return member.get("build") or (f"wire version {versions[-1]}" if versions else "")

"""``mesh members``."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.commands.status import (
    STATE_STYLES,
    accelerator,
    ask_status,
    held,
    layers,
    left_out,
    members_shown,
    offered,
)
from mesh.cli.options import Options
from mesh.control.operations import USAGE, Asked, DeviceStatus, MemberStatus, Status
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

DESCRIPTION = """\
Every member of the pool with its id, address, rights, memory and engine, and the devices of those that have
several. On an owner's machine also what each has asked of the leader since that began to count: requests,
tokens read and generated, refusals, deaths of llama-server meanwhile; on others, what this machine has asked.

Who left is shown by --all alone, for ten minutes; who died is shown for an hour. --json has all of them. A
member that tells nobody of itself, and yet asks the leader, has no name: mesh evict takes its id."""
EXAMPLE = """\
  mesh members --json | jq -r '.members[].name'
  mesh members --json | jq '.members[] | {name, asked}'"""

HEADING = (
    *("NAME", "ID", "ADDRESS", "STATE", "RIGHTS", "ACCELERATOR"),
    *("OFFERS", "FREE", "TOTAL", "LLAMA.CPP", "LAYERS"),
)
DISPENSABLE = (
    *("LLAMA.CPP", "TOTAL", "FREE", "ACCELERATOR", "ADDRESS", "PROGRAM", "TOKENS", "REQUESTS"),
    *("OFFERS", "RIGHTS", "TROUBLE", "LAYERS"),
)
"""The columns that a narrow terminal goes without, the first of these first."""
COUNTS = ("REQUESTS", "TOKENS", "TROUBLE")


def configure(options: Options) -> None:
    options.flag("--all", help="show those that left as well")
    options.flag("--json", help="print one JSON object, with all members")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import count, fields, table

    status = ask_status(args)
    asked = _asked(args)
    unseen = [_unseen(id) for id in sorted(asked.keys() - {member["id"] for member in status["members"]})]
    if args.json:
        told = [{**member, "asked": asked.get(member["id"])} for member in [*status["members"], *unseen]]
        print_json({"pool": status["pool"], "members": told})
        return 0
    programs = other_programs(status)
    counts, more = [*(COUNTS if asked else ())], [*(["PROGRAM"] if programs else [])]
    rows: list[list[Cell]] = [[*HEADING, *counts, *more]]
    members = status["members"] if args.all else members_shown(status)
    for member in [*members, *unseen]:
        engine, several = member["llama_cpp"], len(member["devices"]) > 1
        rows.append(
            [
                member["name"] or "-",
                member["id"],
                member["address"] or "-",
                (member["state"], STATE_STYLES.get(member["state"], "")),
                ",".join(member["rights"]) or "-",
                accelerator(member),
                size_text(offered(member)),
                "" if several else size_text(member["memory"]["free"]),
                "" if several else size_text(member["memory"]["total"]),
                f"{engine['commit'][:9]} rpc {engine['rpc']}" if engine else "-",
                held(member, status["plan"]),
                *(_counts(asked.get(member["id"])) if asked else []),
                *([programs.get(member["id"], "")] if programs else []),
            ]
        )
        if several:
            rows += [_device_row(device, len(rows[0])) for device in member["devices"]]
    print(table(rows, right=(6, 7, 8), dispensable=DISPENSABLE))
    if texts := left_out(members):
        print("\n" + fields([("left out", text, "yellow") for text in texts]))
    if left := len(status["members"]) - len(members):
        print(f"\n{count(left, 'member')} left; shown with --all")
    return 0


def _device_row(device: DeviceStatus, width: int) -> "list[Cell]":
    """A device of the machine above it, of so many columns."""
    told = {
        "NAME": f"  {device['name']}",
        "ACCELERATOR": device["kind"],
        "OFFERS": size_text(device["memory"]["offered"]),
        "TOTAL": size_text(device["memory"]["total"]),
        "LAYERS": layers(device.get("layers")),
    }
    return [*(told.get(heading, "") for heading in HEADING), *[""] * (width - len(HEADING))]


def _asked(args: argparse.Namespace) -> Mapping[str, Asked]:
    """What members have asked, by id; nothing where the leader, or an older sidecar, does not tell."""
    try:
        return ask_sidecar(args, USAGE.request({}))["asked"] or {}
    except MeshError:
        return {}


def _unseen(id: str) -> MemberStatus:
    """A member that asks the leader, and of which nobody here knows more than that it was let in."""
    return {
        "id": id,
        "name": "",
        "address": "",
        "state": "unseen",
        "rights": [],
        "accelerator": {"kind": "", "name": ""},
        "memory": {"offered": 0, "free": 0, "total": 0},
        "rtt_ms": None,
        "llama_cpp": None,
        "layers": None,
        "versions": None,
        "build": "",
        "devices": [],
        "quarantine": None,
    }


def _counts(asked: Asked | None) -> list[str]:
    """Requests, tokens read and generated, and what was wrong."""
    if asked is None:
        return ["-", "-", ""]
    wrong = {
        "refused": asked["refused"],
        "engine deaths": asked["engine_deaths"],
        "s suspended": asked["suspended_seconds"],
    }
    return [
        str(asked["requests"]),
        f"{asked['prompt_tokens']}+{asked['generated_tokens']}",
        ", ".join(f"{count} {what}" for what, count in wrong.items() if count),
    ]


def other_programs(status: Status) -> dict[str, str]:
    """By id, the programs of members that run another than this machine does; most pools have none."""
    programs = {member["id"]: _program(member) for member in status["members"]}
    own = programs.get(status["self"]["id"])
    return {id: program for id, program in programs.items() if program and program != own}


def _program(member: MemberStatus) -> str:
    """Its build, else what it speaks: programs of wire version 2 do not tell their build."""
    versions = member.get("versions")
    return member.get("build") or (f"wire version {versions[-1]}" if versions else "")

"""``mesh status``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.options import Options, UsageError
from mesh.control.operations import (
    STATUS,
    DeploymentStatus,
    MemberStatus,
    PlanStatus,
    Problem,
    QuarantineStatus,
    StageStatus,
    Status,
)
from mesh.wire.amounts import size_text, span_text

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

DESCRIPTION = "Who is in the pool, which layers each member holds, and what the pool serves."
EXAMPLE = "  mesh status --watch\n  mesh status --json | jq .leader.name"

WATCH_INTERVAL = 1.0
DISPENSABLE = ("ACCELERATOR", "ADDRESS", "OFFERS", "RTT")
"""The columns that a narrow terminal goes without, the first of these first."""
STATE_STYLES = {
    **dict.fromkeys(("alive", "ready"), "green"),
    **dict.fromkeys(("suspect", "waiting", "copying", "loading", "moving", "building"), "yellow"),
    **dict.fromkeys(("dead", "failed"), "red"),
    "left": "dim",
}


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object")
    options.flag("-w", "--watch", help="show it again every second until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    if args.json and args.watch:
        raise UsageError("--json prints one object, so it does not go with --watch", "leave one of them out")
    if args.watch:
        return _watch(args)
    status = ask_status(args)
    if args.json:
        print_json(status)
    else:
        print(describe(status))
    return 0


def ask_status(args: argparse.Namespace) -> Status:
    """The sidecar's status, with how the installed program compares with the one that runs."""
    from mesh.runtime.installed_program import with_installed

    return with_installed(ask_sidecar(args, STATUS.request({})))


def _watch(args: argparse.Namespace) -> int:
    import time

    drawn = 0
    try:
        while True:
            text = describe(ask_status(args))
            if sys.stdout.isatty():
                lines = text.splitlines()[: os.get_terminal_size(sys.stdout.fileno()).lines - 1]
                print(redrawn(lines, drawn), end="", flush=True)
                drawn = len(lines)
            else:
                print(text, end="\n\n", flush=True)
            time.sleep(WATCH_INTERVAL)
    except KeyboardInterrupt:
        return 0


def redrawn(lines: list[str], drawn: int) -> str:
    """The text that makes a terminal show the lines in place of the ``drawn`` ones before.

    It moves back to where those began, writes over them, and clears each line's rest and what is below.
    Meanwhile the terminal cuts long lines off: a wrapped line would take more rows than are counted.
    """
    back = f"\x1b[{drawn}A\r" if drawn else ""
    text = "".join(f"{line}\x1b[K\n" for line in lines)
    return f"\x1b[?7l{back}{text}\x1b[J\x1b[?7h"


def describe(status: Status) -> str:
    """The status as people read it."""
    from mesh.cli.terminal import clean, columns, count, fields, paint, table, wrapped

    shown = members_shown(status)
    alive = sum(member["state"] == "alive" for member in shown)
    head = f"pool {paint(clean(status['pool']['name']), 'bold')}: {count(alive, 'machine')} alive"
    if others := len(shown) - alive:
        head += f", {others} not"
    if status["leader"] is None:
        head += ", " + paint("no leader at present", "yellow")
    lines = [_model(status)]
    if status["plan"] is not None:
        lines.append(("plan", plan_line(status["plan"], status["members"]), ""))
    if status["engine"]["state"] != "ready":
        lines.append(_engine(status))
    lines.append(("api", status["api"], ""))
    if listen := status.get("listen"):
        lines.append(("others", how_others_ask(listen), ""))
    if "trouble" in status:
        lines.append(("trouble", status["trouble"], "red"))
    lines += [("left out", text, "yellow") for text in left_out(shown)]
    lines += map(_problem, status["problems"])
    members = table(_members(status), right=(5, 6), dispensable=DISPENSABLE)
    return "\n".join([wrapped(head, columns(), "  "), "", members, "", fields(lines, whole=("others",))])


def members_shown(status: Status) -> list[MemberStatus]:
    """Those that people look for: without those that left of their own will, unless this machine did."""
    own = status["self"]["id"]
    return [member for member in status["members"] if member["state"] != "left" or member["id"] == own]


def how_others_ask(listen: str) -> str:
    """A command for another machine, where the key is in a file as it is here."""
    return f'curl {listen}/models -H "Authorization: Bearer $(cat FILE)"'


def left_out(members: Sequence[MemberStatus]) -> list[str]:
    """Machines and devices, such as ``bert/CUDA0, for 2 min more: rpc-server was killed by SIGABRT``.

    What holds layers all the same does so since nothing else could.
    """
    named = [(member["name"], member.get("quarantine"), member["layers"]) for member in members]
    named += [
        (f"{member['name']}/{device['name']}", device.get("quarantine"), device["layers"])
        for member in members
        for device in member.get("devices") or []
    ]
    return [
        f"{name}, {'where others can serve' if used else f'for {_span(failed)} more'}: {failed['reason']}"
        for name, failed, used in named
        if failed is not None
    ]


def _span(failed: QuarantineStatus) -> str:
    return span_text(failed["seconds"])


def _problem(problem: Problem) -> tuple[str, str, str]:
    text = f"{problem['message']}; {problem['hint']}"
    return ("problem", text, "red") if problem["code"] == "wire_version" else ("note", text, "yellow")


def accelerator(member: MemberStatus) -> str:
    """Such as ``cuda NVIDIA L4``."""
    return f"{member['accelerator']['kind']} {member['accelerator']['name']}".strip()


def offered(member: MemberStatus) -> int:
    """Bytes that all its devices lend; older members tell of one alone."""
    devices = member.get("devices") or []
    return sum(device["memory"]["offered"] for device in devices) or member["memory"]["offered"]


def layers(span: list[int] | None, head: bool = False) -> str:
    """Such as ``0-7`` or ``8-15 + head``, ``head`` for the head alone; a dash for nothing."""
    if span is None or span[0] > span[1]:
        return "head" if head else "-"
    held = str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
    return held + (" + head" if head else "")


def holder(stage: StageStatus, members: Sequence[MemberStatus]) -> str:
    """The machine that holds a stage, with its device if it has several: ``alpha``, ``beta/CUDA0``."""
    for member in members:
        if member["id"] == stage["member"]:
            several = len(member.get("devices", ())) > 1
            return f"{member['name']}/{stage['device']}" if several else member["name"]
    return stage["member"][:8]


def held(member: MemberStatus, plan: PlanStatus | None) -> str:
    """All that a machine holds: ``0-7``, or ``0-3, 8-11 + head`` where others' layers lie between."""
    spans: list[tuple[list[int], bool]] = []
    for stage in plan["stages"] if plan else ():
        if stage["member"] != member["id"]:
            continue
        first, last = stage["layers"]
        if spans and first <= last and spans[-1][0][1] + 1 == first:
            spans[-1] = ([spans[-1][0][0], last], stage["head"])
        else:
            spans.append(([first, last], stage["head"]))
    return ", ".join(layers(span, head) for span, head in spans) or layers(member["layers"])


def plan_line(plan: PlanStatus, members: Sequence[MemberStatus]) -> str:
    """Such as ``alpha 0-7 -> beta/CUDA0 8-15 + head  (12.0 tokens/s predicted)``."""
    stages = [
        f"{holder(stage, members)} {layers(stage['layers'], stage['head'])}" for stage in plan["stages"]
    ]
    return f"{' -> '.join(stages)}  ({plan['predicted_tokens_per_second']:.1f} tokens/s predicted)"


def _members(status: Status) -> "list[list[Cell]]":
    leader = status["leader"]["id"] if status["leader"] else None
    rows: list[list[Cell]] = [["", "NAME", "ADDRESS", "STATE", "ACCELERATOR", "OFFERS", "RTT", "LAYERS"]]
    for member in members_shown(status):
        here = member["id"] == status["self"]["id"]
        state = "paused" if here and status["self"]["paused"] else member["state"]
        lent = offered(member)
        rtt = "-" if member["rtt_ms"] is None else f"{member['rtt_ms']:.1f} ms"
        rows.append(
            [
                ("*", "bold") if member["id"] == leader else "",
                (member["name"], "bold") if here else member["name"],
                member["address"],
                (state, STATE_STYLES.get(state, "")),
                accelerator(member),
                size_text(lent) if lent and "work" in member["rights"] else "-",
                "here" if here else rtt,
                held(member, status["plan"]),
            ]
        )
    return rows


def _model(status: Status) -> tuple[str, str, str]:
    from mesh.cli.terminal import bar

    deployment = status["deployment"]
    if deployment is None:
        return ("model", "none; serve one with: mesh serve MODEL", "")
    parts = [deployment["model"], deployment["state"], _room(deployment)]
    if deployment["state"] in ("copying", "loading", "moving"):
        parts.append(bar(deployment["progress"]))
    parts.append(deployment["reason"])  # the last: it may be long
    return ("model", "  ".join(filter(None, parts)), STATE_STYLES.get(deployment["state"], ""))


def _room(deployment: DeploymentStatus) -> str:
    """Such as ``4096 tokens of context, 1 slot, q8_0``; empty where an older sidecar does not say."""
    from mesh.cli.terminal import count

    context = deployment.get("context")
    if not context:
        return ""
    parts = [f"{count(context, 'token')} of context", count(deployment["slots"], "slot")]
    if deployment.get("kv", "f16") != "f16":
        parts.append(f"kept as {deployment['kv']}")
    if deployment.get("embeddings"):
        parts.append("gives embeddings")
    if projector := deployment.get("projector"):
        parts.append(f"reads pictures by {projector}")
    return ", ".join(parts)


def _engine(status: Status) -> tuple[str, str, str]:
    from mesh.cli.terminal import bar

    engine = status["engine"]
    progress = f"  {bar(engine['progress'])}" if engine["state"] == "building" else ""
    text = f"{engine['state']}{progress}  {engine['reason']}".rstrip()
    return ("engine", text, STATE_STYLES.get(engine["state"], ""))

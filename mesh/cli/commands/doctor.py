"""``mesh doctor``."""

import argparse
from pathlib import Path

from mesh.cli.asking import print_json, state_of
from mesh.cli.options import Options

DESCRIPTION = (
    "Check what this machine has and lacks for a pool, and say what helps. Exits 1 when something is wrong."
)
EXAMPLE = "  mesh doctor"


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean, columns, paint, width, wrapped
    from mesh.tools.doctor import check

    checks = check(Path(state_of(args)))
    fine = all(one["ok"] for one in checks)
    if args.json:
        print_json({"ok": fine, "checks": checks})
        return 0 if fine else 1
    longest = max((width(one["check"]) for one in checks), default=0)
    for one in checks:
        note = one.get("note", False)
        mark = (
            paint("FAIL", "red")
            if not one["ok"]
            else paint("note", "yellow")
            if note
            else paint("ok  ", "green")
        )
        name = clean(one["check"])
        under = " " * (longest + 8)
        detail = wrapped(clean(one["detail"]), columns(), under)
        print(f"{mark}  {name}{' ' * (longest - width(name))}  {detail}".rstrip())
        if one["hint"] and (note or not one["ok"]):
            print(under + wrapped(f"{paint('hint:', 'dim')} {clean(one['hint'])}", columns(), under))
    return 0 if fine else 1

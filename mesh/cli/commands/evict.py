"""``mesh evict``."""

import argparse
import sys

from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.options import Options, UsageError
from mesh.control.operations import EVICT, STATUS, MemberStatus
from mesh.wire.errors import MeshError

DESCRIPTION = """\
Put a member out of the pool, for ever and everywhere: its streams are cut, what it signed is dropped, and its
key is never admitted again. Needs the right `own`. The machine can come back as a new node only, if an owner
lets it in."""
EXAMPLE = """\
  mesh evict bert                          by its name
  mesh evict --yes tq5fdnqxpvjzb4o6hjkyzmw7my   by its id, without being asked"""

ID_LENGTH = 26


def configure(options: Options) -> None:
    options.parser.add_argument("member", metavar="NODE", help="its name, or its id or the beginning of that")
    options.flag("--yes", help="do not ask whether it is meant")
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.terminal import clean, count

    status = ask_sidecar(args, STATUS.request({}))
    member = find(status["members"], args.member)
    id, name = (args.member, "") if member is None else (member["id"], clean(member["name"]))
    if not args.yes:
        _ask_whether(
            f"evict {name or 'the member'} ({id}) from pool {clean(status['pool']['name'])} for ever"
        )
    result = ask_sidecar(args, EVICT.request({"member": id}))
    if args.json:
        print_json(result)
        return 0
    fallen = f", and with it {count(len(result['fallen']), 'member')} that it had vouched for"
    print(f"evicted {clean(result['name']) or result['id']}{fallen if result['fallen'] else ''}")
    return 0


def find(members: list[MemberStatus], what: str) -> MemberStatus | None:
    """The member with this name, or whose id begins so; None for a whole id that status does not show.

    Raises `MeshError` when there are several, or none.
    """
    named = [member for member in members if member["name"] == what]
    found = named or [member for member in members if len(what) >= 4 and member["id"].startswith(what)]
    if len(found) > 1:
        ids = ", ".join(f"{member['id']} at {member['address']}" for member in found)
        raise MeshError(f"{len(found)} members are called {what!r}", f"say which by its id: {ids}")
    if not found and len(what) != ID_LENGTH:
        raise MeshError(f"there is no member {what!r}", "see: mesh members")
    return found[0] if found else None


def _ask_whether(question: str) -> None:
    """Ask for confirmation. Raises `UsageError` without a terminal, `MeshError` for any answer but yes."""
    if not sys.stdin.isatty():
        raise UsageError("an eviction is for ever, so it takes --yes where nobody can be asked", "add --yes")
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise MeshError("nobody was evicted", "answer y, or add --yes")

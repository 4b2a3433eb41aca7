"""Which members this machine cannot speak with, or only in an older form, and what helps. Pure.

Both machines say the same of each other: each names both, what both speak, and upgrades the older one.
"""

from collections.abc import Sequence

from mesh.control.operations import MemberStatus, Problem
from mesh.wire.versions import Versions

_PRESENT = ("alive", "suspect")


def version_problems(members: Sequence[MemberStatus], own: str) -> list[Problem]:
    """The problems among the ``members`` of a pool as the one with the id ``own`` sees them, worst first."""
    spoken = {member["id"]: Versions(*member["versions"]) for member in members if member["versions"]}
    mine = spoken.get(own)
    if mine is None:
        return []
    apart: list[Problem] = []
    older: list[Problem] = []
    newest = mine.newest
    for member in members:
        theirs = spoken.get(member["id"])
        if theirs is None or member["state"] == "left":
            continue
        if mine.common(theirs) is None:
            apart.append(_apart(member, theirs, mine))
        elif member["state"] in _PRESENT:
            newest = max(newest, theirs.newest)
            if theirs.newest < mine.newest:
                older.append(_older(member, theirs))
    return [*apart, *([_behind(mine, newest)] if newest > mine.newest else []), *older]


def _apart(member: MemberStatus, theirs: Versions, mine: Versions) -> Problem:
    name = member["name"]
    return {
        "code": "wire_version",
        "member": member["id"],
        "message": f"{name} speaks wire version {theirs}, this machine {mine}",
        "hint": _upgrade(name) if theirs.newest < mine.newest else _upgrade(None),
    }


def _older(member: MemberStatus, theirs: Versions) -> Problem:
    return {
        "code": "older_member",
        "member": member["id"],
        "message": f"{member['name']} still speaks wire version {theirs.newest}:"
        " facts are signed in its form until it is upgraded",
        "hint": _upgrade(member["name"]),
    }


def _behind(mine: Versions, newest: int) -> Problem:
    return {
        "code": "older_program",
        "member": None,
        "message": f"this machine still speaks wire version {mine.newest}, others {newest}:"
        " facts are signed in its form until it is upgraded",
        "hint": _upgrade(None),
    }


def _upgrade(name: str | None) -> str:
    """What to do on the machine of that name; None: on this one."""
    return (
        "upgrade this machine, then: mesh restart"
        if name is None
        else f"upgrade {name}, then there: mesh restart"
    )

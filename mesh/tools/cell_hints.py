"""What would let a Linux machine give each engine a network of its own (a cell). `hint` is pure."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CLONE: Final = "kernel/unprivileged_userns_clone"
"""A switch of Debian's kernels and others: 0 keeps users from making namespaces."""
APPARMOR: Final = "kernel/apparmor_restrict_unprivileged_userns"
"""Ubuntu since 23.10: 1 lets a user make them, but do nothing in them, unless a profile says so."""
MOST_USERS: Final = "user/max_user_namespaces"
MOST_NETWORKS: Final = "user/max_net_namespaces"
_SETTINGS = (CLONE, APPARMOR, MOST_USERS, MOST_NETWORKS)

_ADMIN = 1 << 21  # CAP_SYS_ADMIN
_CONTAINERS = (".dockerenv", "run/.containerenv")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What bears on it. ``settings`` are those below /proc/sys that the kernel has."""

    settings: Mapping[str, int] = field(default_factory=dict)
    namespaces: bool = True
    """Whether the kernel has those of users and networks."""
    root: bool = False
    admin: bool = False
    """Whether this process has CAP_SYS_ADMIN."""
    container: bool = False
    filtered: bool = False
    """Whether something filters this process's system calls."""


def look(system: Path = Path("/")) -> Surroundings:
    """What is so on this machine, for this process."""
    status = dict(
        line.split(":\t", 1) for line in _text(system / "proc/self/status").splitlines() if ":\t" in line
    )
    texts = {name: _text(system / "proc/sys" / name).strip() for name in _SETTINGS}
    return Surroundings(
        settings={name: int(text) for name, text in texts.items() if text.isdecimal()},
        namespaces=all((system / "proc/self/ns" / kind).exists() for kind in ("user", "net")),
        root=os.geteuid() == 0,
        admin=bool(int(status.get("CapEff", "0"), 16) & _ADMIN),
        container=any((system / name).exists() for name in _CONTAINERS),
        filtered=status.get("Seccomp") == "2",
    )


def hint(found: Surroundings, program: str) -> str:
    """What to do about it; ``program`` is the real path of the Python that starts engines."""
    if not found.namespaces:
        return "this kernel has no namespaces: another kernel is all that helps"
    if found.container and not (found.root and found.admin):
        return _of_container(found.root)
    if found.root and not found.admin:
        return "root has no CAP_SYS_ADMIN here: a systemd unit gives it by CapabilityBoundingSet="
    causes = [cause for cause in (*_limits(found), *_for_users(found, program)) if cause]
    if found.filtered and not causes:
        causes = ["a filter forbids namespaces: a systemd unit allows them by RestrictNamespaces=no"]
    own = "" if found.root else "--user --map-root-user "
    return "; and ".join(causes) or f"this has to work first: unshare {own}--net true"


def _of_container(root: bool) -> str:
    right = "--cap-add=SYS_ADMIN" if root else "--security-opt seccomp=unconfined"
    return (
        f"run the container with {right} --security-opt apparmor=unconfined, which opens more of the kernel "
        "to it; or leave it so, if nobody else is in the container and it has a network of its own"
    )


def _limits(found: Surroundings) -> list[str]:
    wanted = [MOST_NETWORKS] if found.root else [MOST_USERS, MOST_NETWORKS]
    return [_sysctl(name, 10000) for name in wanted if found.settings.get(name) == 0]


def _for_users(found: Surroundings, program: str) -> list[str]:
    if found.root:
        return []
    return [
        _sysctl(CLONE, 1) if found.settings.get(CLONE) == 0 else "",
        _of_apparmor(program) if found.settings.get(APPARMOR) == 1 else "",
    ]


def _of_apparmor(program: str) -> str:
    profile = r'abi <abi/4.0>,\nprofile frankenstein-mesh "%s" flags=(unconfined) {\n  userns,\n}\n'
    return (
        f"for this Python alone: printf {shlex.quote(profile)} {shlex.quote(program)} "
        "| sudo tee /etc/apparmor.d/frankenstein-mesh && sudo systemctl reload apparmor; "
        f"or for all programs: {_sysctl(APPARMOR, 0)}"
    )


def _sysctl(name: str, value: int) -> str:
    dotted = name.replace("/", ".")
    return f"sudo sysctl -w {dotted}={value} (in a file of /etc/sysctl.d it lasts)"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""

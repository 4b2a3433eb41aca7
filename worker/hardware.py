"""What memory this machine has.

rpc-server reports the machine's whole memory as free, whatever else runs and whatever limit its container
has. So the mesh measures for itself.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from mesh.engine.sandbox.control_groups import memory_groups

_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """In bytes: the machine's or its container's."""

    total: int
    available: int
    """What could be used now without swapping anything out."""


def measure() -> MachineMemory:
    """The memory of this machine. Blocking; some milliseconds."""
    machine = psutil.virtual_memory()
    return within_limits(MachineMemory(machine.total, machine.available), Path("/"))


def within_limits(memory: MachineMemory, root: Path) -> MachineMemory:
    """``memory`` cut down to the control groups (v1 or v2) that this process is in, seen below ``root``."""
    total, available = memory.total, memory.available
    for directory, limit_name, usage_name in _groups(root):
        limit = _number(directory / limit_name)
        if limit is None or limit >= memory.total:  # "no limit" is a huge number in v1, "max" in v2
            continue
        used = _number(directory / usage_name) or 0
        reclaimable = _inactive_file(directory / "memory.stat")
        total = min(total, limit)
        available = min(available, max(0, limit - used + reclaimable))
    return MachineMemory(total, available)


def _groups(root: Path) -> list[tuple[Path, str, str]]:
    """``(folder, limit file, usage file)`` of the group and of all above it: each one limits the process."""
    # Inside a container, the path may name what only the host sees; its own group is then the top.
    return [
        (top / part, *_FILES[version])
        for top, own, version in memory_groups(root)
        for part in (own, *own.parents)
    ]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _inactive_file(path: Path) -> int:
    try:
        text = path.read_text()
    except OSError:
        return 0
    found = re.search(r"^total_inactive_file (\d+)$", text, re.MULTILINE) or re.search(
        r"^inactive_file (\d+)$", text, re.MULTILINE
    )
    return int(found.group(1)) if found else 0

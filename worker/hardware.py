"""What memory this machine has, and how much of it a worker offers by default.

rpc-server reports the machine's whole memory as free, whatever else runs and whatever limit its container
has. So the mesh measures for itself.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from mesh.engine.backends.backend_table import kind_named
from mesh.engine.detect import MachineProbes
from mesh.engine.sandbox.control_groups import memory_groups
from mesh.engine.types import Backend
from mesh.wire.errors import MeshError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
_MIB = 1 << 20
_SHARE_OF_AVAILABLE = 0.8
_SHARE_OF_ACCELERATOR = 0.92


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """In bytes: the accelerator's where it has memory of its own, else the machine's or its container's."""

    total: int
    available: int
    """What could be used now without swapping anything out."""


def parse_size(text: str) -> int:
    """Bytes from ``60M``, ``8G``, ``1.5GiB`` or ``1000000``; units are powers of 1024. Raises MeshError."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found.group(1)) * _UNITS[found.group(2).upper()]) if found else 0
    if size <= 0 or size >= 1 << 63:
        raise MeshError(f"{text!r} is no amount of memory", "write it like 8G, 1.5GiB or 600M")
    return size


def measure(backend: Backend) -> MachineMemory:
    """The memory that ``backend`` computes in. Blocking; some milliseconds, with a GPU up to seconds."""
    if backend.memory:
        free = kind_named(backend.kind).free_memory(MachineProbes())
        return MachineMemory(backend.memory, backend.memory if free is None else min(free, backend.memory))
    machine = psutil.virtual_memory()
    return within_limits(MachineMemory(machine.total, machine.available), Path("/"))


def default_offer(memory: MachineMemory, backend: Backend) -> int:
    """What a worker offers when no person says: most of what is free now, in whole MiB."""
    if backend.memory:
        share = memory.available * _SHARE_OF_ACCELERATOR
    else:
        most = memory.total * kind_named(backend.kind).share_of_machine
        share = min(most, memory.available * _SHARE_OF_AVAILABLE)
    return int(share) // _MIB * _MIB


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

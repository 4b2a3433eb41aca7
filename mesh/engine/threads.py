"""How many threads an engine gets: those of this process's processors, within its quotas of time.

The engine itself counts the machine's cores, whatever this process may use: with more threads than that, they
wait for each other at every step. `count` is pure, `thread_count` looks.
"""

import os
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from mesh.engine.sandbox.control_groups import processor_groups

_ROOT: Final = Path("/")


def count(cores: Mapping[int, Hashable], quotas: Iterable[float]) -> int:
    """Threads for processors (by number, with the core that each belongs to) and quotas, in processors.

    One for each core, since two of one core share what computes; no more than the smallest quota has whole.
    """
    least = min(quotas, default=float("inf"))
    physical = len(set(cores.values()))
    return max(1, physical if least >= physical else int(least))


def thread_count(root: Path = _ROOT) -> int:
    """Threads for an engine of this process now, seen below ``root``."""
    return count(_cores(allowed(), root), quotas(root))


def allowed() -> frozenset[int]:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):
            return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def quotas(root: Path = _ROOT) -> list[float]:
    """What each control group (v1 or v2) around this process lets it compute, in processors."""
    found = []
    for top, own, version in processor_groups(root):
        # Inside a container, the path may name what only the host sees; its own group is then the top.
        for part in (own, *own.parents):
            quota = _quota(top / part, version)
            if quota is not None:
                found.append(quota)
    return found


def _quota(folder: Path, version: int) -> float | None:
    """Processors that a group may use at once; None for any number."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        share = int(quota) / int(period)  # "max" in version 2, -1 in version 1: no quota
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _cores(processors: frozenset[int], root: Path) -> dict[int, Hashable]:
    """The core of each processor, by topology; where the system does not say, by how many cores there are."""
    cores: dict[int, Hashable] = {}
    for processor in processors:
        topology = root / f"sys/devices/system/cpu/cpu{processor}/topology"
        try:
            package, core = (
                (topology / name).read_text().strip() for name in ("physical_package_id", "core_id")
            )
        except OSError:
            return _unknown_cores(processors)
        cores[processor] = (package, core)
    return cores


def _unknown_cores(processors: frozenset[int]) -> dict[int, Hashable]:
    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    if not physical or not logical or len(processors) < logical:
        physical = len(processors)
    return {processor: place % physical for place, processor in enumerate(sorted(processors))}

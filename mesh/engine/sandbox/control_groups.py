"""A control group of Linux for one engine, which bounds its memory, where this process may make one.

Version 2 allows no group beside processes, so the new one stands beside the sidecar's; version 1 does, so it
stands below. A group stays while what the engine left behind still ends, or when its sidecar was killed: it
is removed by whoever makes the next one.
"""

import errno
import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_NAME = re.compile(r"mesh-engine-(\d{1,9})-\d+")
_ROOT: Final = Path("/")
_NUMBERS = itertools.count()
_IN_USE: Final[set[Path]] = set()
"""This process's own, from their making until they are let go of."""
_ENDING_SECONDS: Final = 0.25
"""An engine's broker ends just after the engine, and nobody can wait for it."""
_PAUSE: Final = 0.002


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """``folder`` is the group's; ``version`` 1 or 2."""

    folder: Path
    version: int

    @property
    def processes(self) -> Path:
        """The file to which a process is written that is to be in the group."""
        return self.folder / "cgroup.procs"

    @property
    def has_ended_a_process(self) -> bool:
        """Whether the kernel ended one because the group had no memory left."""
        events = self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")
        with suppress(OSError):
            found = re.search(r"^oom_kill (\d+)$", events.read_text(), re.MULTILINE)
            return found is not None and int(found[1]) > 0
        return False

    def remove(self, patience: float = _ENDING_SECONDS) -> None:
        """Let go of it, and remove it; wait so many seconds for what was killed and has not ended yet."""
        _IN_USE.discard(self.folder)
        until = time.monotonic() + patience
        while True:
            try:
                return self.folder.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    return None
            time.sleep(_PAUSE)


def control_group(most: int) -> ControlGroup | None:
    """A new group of at most ``most`` bytes for an engine of this process; None where none can be made."""
    found = place()
    if found is None:
        return None
    parent, version = found
    group = ControlGroup(parent / f"mesh-engine-{os.getpid()}-{next(_NUMBERS)}", version)
    limit = "memory.max" if version == 2 else "memory.limit_in_bytes"
    try:
        group.folder.mkdir()
        _IN_USE.add(group.folder)
        (group.folder / limit).write_text(str(most))
    except OSError:
        group.remove()
        return None
    return group


def place(root: Path = _ROOT) -> tuple[Path, int] | None:
    """Where a group with a limit on memory may be made, seen below ``root``, and its version."""
    for folder, version in _places(root):
        if os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
            return folder, version
    return None


def sweep(root: Path = _ROOT) -> None:
    """Remove the groups that no sidecar has in use, seen below ``root``."""
    for parent, version in _places(root):
        with suppress(OSError):
            for folder in parent.iterdir():
                found = _NAME.fullmatch(folder.name)
                if found and not _is_in_use(folder, int(found[1])):
                    ControlGroup(folder, version).remove(patience=0)


def _is_in_use(folder: Path, process: int) -> bool:
    return folder in _IN_USE if process == os.getpid() else _lives(process)


def _lives(process: int) -> bool:
    """A killed sidecar is there until its starter has waited for it, which some containers' never does."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def memory_groups(root: Path = _ROOT) -> Iterator[tuple[Path, Path, int]]:
    """``(top, own, version)`` of each hierarchy that bounds memory: where it is, our place in it."""
    return _hierarchies(root, "memory")


def processor_groups(root: Path = _ROOT) -> Iterator[tuple[Path, Path, int]]:
    """The same of each hierarchy that bounds the processors' time."""
    return _hierarchies(root, "cpu")


def _hierarchies(root: Path, controller: str) -> Iterator[tuple[Path, Path, int]]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    groups = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        own = Path(path.strip("/"))
        if number == "0" and not controllers:
            yield groups, own, 2
        elif controller in controllers.split(","):
            # Mounted by all of its controllers' names; the single ones are links, which may be missing.
            yield groups / (controller if (groups / controller).exists() else controllers), own, 1


def _places(root: Path) -> Iterator[tuple[Path, int]]:
    for top, own, version in memory_groups(root):
        if version == 1:
            # A container may see its own group as the top, and a path that only its host knows.
            yield top / own if (top / own).is_dir() else top, version
        elif "memory" in _words(top / own.parent / "cgroup.subtree_control"):
            yield top / own.parent, version


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []

"""A disk of a host's own, which can be full while the machine's is not: a tmpfs whose limits are moved."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOM = ("1g", 100_000)
"""Bytes and files; memory is taken for what is written alone."""
_TRIES = 20


@contextmanager
def disk_at(folder: Path) -> Iterator[None]:
    """Keeps an empty disk there; a child takes it away however this process ends. Raises RuntimeError."""
    mount(folder)
    ended, end = os.pipe()
    command = ["sh", "-c", 'read -r _; exec umount --lazy "$1"', "sh", str(folder)]
    with subprocess.Popen(command, stdin=ended, start_new_session=True):
        os.close(ended)
        try:
            yield
        finally:
            os.close(end)


def mount(folder: Path) -> None:
    """Puts an empty disk there. Programs that were started before in a namespace may not see it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size, files = _ROOM
    options = f"size={size},nr_inodes={files},mode=700"
    _do("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))


def fill(folder: Path, of_files: bool = True) -> None:
    """Leaves no room for another block, nor (``of_files``) for another file, until `free`."""
    for _ in range(_TRIES):
        with suppress(RuntimeError):  # it was written to just now, and more is used than was seen
            _fill(folder, of_files)
            return
    _fill(folder, of_files)


def _fill(folder: Path, of_files: bool) -> None:
    size, files = _used(folder)
    _remount(folder, size, files if of_files else _ROOM[1])


def free(folder: Path) -> None:
    """Undoes `fill`."""
    _remount(folder, *_ROOM)


def unmount_all(folder: Path) -> None:
    """Takes away all disks below a folder; what is on them is gone."""
    for mounted in mounts_below(folder):
        _do("umount", "--lazy", mounted)


def mounts_below(folder: Path) -> list[str]:
    """Where disks are mounted below a folder, the deepest first."""
    table = Path("/proc/self/mounts")
    if not table.exists():
        return []
    points = [Path(line.split()[1]) for line in table.read_text().splitlines()]
    below = [point for point in points if point.is_relative_to(folder)]
    return sorted(map(str, below), key=len, reverse=True)


def _used(folder: Path) -> tuple[str, int]:
    now = os.statvfs(folder)
    used = (now.f_blocks - now.f_bfree) * now.f_frsize
    return str(max(used, now.f_frsize)), now.f_files - now.f_ffree  # a size of 0 would be no limit


def _remount(folder: Path, size: str, files: int) -> None:
    _do("mount", "-o", f"remount,size={size},nr_inodes={files}", str(folder))


def _do(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr}")

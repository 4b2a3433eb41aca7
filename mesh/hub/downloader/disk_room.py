"""Whether the disk has room for what comes, before it comes and meanwhile."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mesh.hub.hub_lines import HubError
from mesh.wire.amounts import size_text

MARGIN: Final = 1 << 30
"""Bytes of the disk that a download leaves free."""
LEAST: Final = MARGIN // 4
"""When other programs leave less than this meanwhile, the download stops."""
LOOK_BYTES: Final = 64 << 20
"""After so many bytes it looks again."""


def free_at(folder: Path) -> int:
    """Bytes that are free where ``folder`` is, or will be."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise unusable(folder, error, "") from error
    return 0


class DiskRoom:
    """The room in ``folder``; ``way_out`` says to a person how to choose another disk."""

    def __init__(self, folder: Path, way_out: str, free: Callable[[Path], int] = free_at) -> None:
        self._folder = folder
        self._way_out = way_out
        self._free = free
        self._looked = 0

    def check(self, missing: int) -> None:
        """Raises HubError ``disk`` unless ``missing`` bytes more fit and the margin stays free."""
        free = self._free(self._folder)
        if missing and missing + MARGIN > free:
            raise HubError(
                "disk",
                f"{size_text(missing)} are to come and {size_text(MARGIN)} stay free, but {self._folder} has"
                f" {size_text(free)}: {size_text(missing + MARGIN - free)} too little",
                self._way_out,
            )

    def look(self, done: int) -> None:
        """Called with the bytes so far, again and again: raises as `check` when others fill the disk."""
        if abs(done - self._looked) < LOOK_BYTES:
            return
        self._looked = done
        free = self._free(self._folder)
        if free < LEAST:
            raise HubError("disk", f"{self._folder} has {size_text(free)} left: it fills up", self._way_out)


def unusable(folder: Path, error: OSError, way_out: str) -> HubError:
    """A folder that cannot be written to, in a sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HubError("disk", f"{folder} is full", way_out or "make room there")
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    where = error.filename or folder
    return HubError("failed", f"nothing can be written to {where}: {reason}", way_out or "look at its rights")

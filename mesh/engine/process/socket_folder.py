"""A folder for one unix socket, which this user alone may enter: that keeps the other users from the socket.

Its name bears the process that made it, so that what a crash left is told from what is in use.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

LONGEST_PATH: Final = 103
"""Bytes of a socket's path on macOS, where it is shortest."""

_PREFIX = "mesh-engine"
_LEFT = re.compile(rf"{_PREFIX}-(\d{{1,9}})-\w+")  # anybody may make a folder of a longer number


def make(name: str, bases: Iterable[str] | None = None) -> Path:
    """The path of a socket of that name, in a new folder in the first base for which it is short enough.

    Removes before what processes that have ended left. Raises OSError if no folder can be made.
    """
    for base in map(os.path.realpath, (tempfile.gettempdir(), "/tmp") if bases is None else bases):
        _remove_what_is_left(Path(base))
        # mkdtemp adds eight characters and makes it for this user alone.
        folder = f"{base}/{_PREFIX}-{os.getpid()}-"
        if len(os.fsencode(f"{folder}12345678/{name}")) <= LONGEST_PATH:
            return Path(tempfile.mkdtemp(prefix=folder)) / name
    raise OSError(f"no folder for temporary files has a path short enough for {name}")


def remove(socket: Path) -> None:
    """Remove the folder of that socket, with all that is in it."""
    shutil.rmtree(socket.parent, ignore_errors=True)


def _remove_what_is_left(base: Path) -> None:
    for folder in base.glob(f"{_PREFIX}-*"):
        found = _LEFT.fullmatch(folder.name)
        if found and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)  # the kernel lets nobody remove another user's

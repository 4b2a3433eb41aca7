"""The demo's folder, which goes with the demo; that of one that was killed goes with the next."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "mesh-demo-"
LOCK: Final = "lock"
"""Held while the demo lives. The kernel lets go of it however that ends."""


@contextmanager
def demo_folder() -> Iterator[Path]:
    """An empty folder but for its lock. Raises OSError."""
    _remove_left()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / f"{LOCK}.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.replace(lock.name, folder / LOCK)  # others see it only when it is held
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left() -> None:
    """Remove this user's folders whose demos were killed: each may hold copies of the model."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        folder = lock.parent
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)

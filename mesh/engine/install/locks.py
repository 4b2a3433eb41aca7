"""One at a time, across processes: an advisory lock on a file, awaited without blocking the event loop."""

import fcntl
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

_POLL_SECONDS = 0.25


@asynccontextmanager
async def exclusive(path: Path, waiting: Callable[[str], None]) -> AsyncGenerator[None]:
    """Hold ``path`` locked; while another process does, ``waiting`` gets its process id again and again.

    The kernel releases the lock when its holder dies, however it dies, so a killed build never blocks the
    next one. The file itself stays: unlinking it would let two holders in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not _try_lock(descriptor):
            waiting(os.pread(descriptor, 32, 0).decode(errors="replace").strip())
            await trio.sleep(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

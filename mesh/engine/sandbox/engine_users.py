"""Users for a sidecar's engines that no account and no other sidecar of this machine has.

Who has an engine's user may signal that engine and read its memory. So each sidecar has a block of numbers to
itself, which it holds by a lock until it ends, however it ends.
"""

import fcntl
import functools
import grp
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Final

from mesh.wire.profile import MAX_DEVICES

LLAMA_SERVER: Final = MAX_DEVICES
ENGINES: Final = range(MAX_DEVICES + 1)
"""A sidecar's: an rpc-server for each device that its machine lends, from 0, and llama-server."""
_FIRST_USER, _USERS = 60578, 606
"""Numbers that systemd's list of users leaves to nobody, below what containers have."""
_BLOCKS: Final = _USERS // len(ENGINES)
_LOCKS: Final = Path("/run/frankenstein-mesh-users")
"""Root's own; its n-th byte is locked by the sidecar that has the n-th block."""


@functools.cache
def own_users() -> range:
    """Those of this sidecar's engines. The first call may block: accounts may be asked of a directory."""
    return engine_users(os.getpid())


def engine_users(process: int, locks: Path = _LOCKS) -> range:
    """A user for each engine of the sidecar with that process id, which is this one.

    Where the file of ``locks`` cannot be written, or more sidecars run than there are blocks, two may have
    the same. Raises OSError where accounts have taken all.
    """
    file = _opened(locks)
    first: range | None = None
    for step in range(_BLOCKS):
        block = (process + step) % _BLOCKS
        users = _users(block)
        if any(map(_is_taken, users)):
            continue
        if file is None or _lock(file, block):
            return users
        first = first or users
    if first is None:
        raise OSError("every user that an engine could have is taken")
    return first


def _users(block: int) -> range:
    first = _FIRST_USER + block * len(ENGINES)
    return range(first, first + len(ENGINES))


def _opened(locks: Path) -> int | None:
    """The file's descriptor, which stays open: the kernel lets go of locks when it is closed."""
    with suppress(OSError):
        return os.open(locks, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return None


def _lock(file: int, block: int) -> bool:
    """A child of this process does not have the lock, so that none keeps it longer than the sidecar."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, block)
    except OSError:
        return False
    return True


def _is_taken(user: int) -> bool:
    with suppress(KeyError):
        pwd.getpwuid(user)
        return True
    with suppress(KeyError):
        grp.getgrgid(user)
        return True
    return False

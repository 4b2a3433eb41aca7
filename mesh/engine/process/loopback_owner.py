"""Whose a connection over loopback is, by the kernel's word. Linux; elsewhere nobody can tell."""

from contextlib import suppress
from typing import Final

import psutil

Address = tuple[str, int]

ANYBODY: Final[tuple[()]] = ()
"""The other end of a socket that listens."""


def belongs_to(process: int, theirs: Address, ours: Address | tuple[()]) -> bool:
    """Whether the end ``theirs`` of the connection whose other end is ``ours`` is held by that process."""
    with suppress(psutil.Error, OSError):
        held = psutil.Process(process).net_connections("tcp4")
        return any((one.laddr, one.raddr) == (theirs, ours) for one in held)
    return False

"""Whose a connection over loopback is, by the kernel's word. Linux; elsewhere nobody can tell."""

import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

_SOCKET = re.compile(r"socket:\[(\d+)\]")

Address = tuple[str, int]

ANYBODY: Final[Address] = ("0.0.0.0", 0)
"""The other end of a socket that listens, as the table has it."""


def belongs_to(process: int, theirs: Address, ours: Address) -> bool:
    """Whether the end ``theirs`` of the connection whose other end is ``ours`` is held by that process."""
    with suppress(OSError), open("/proc/self/net/tcp", encoding="ascii") as table:
        inode = inode_in(table, theirs, ours)
        return inode is not None and holds(process, inode)
    return False


def inode_in(table: Iterable[str], local: Address, remote: Address) -> int | None:
    """The inode of that connection's socket in the lines of /proc/net/tcp; None where it has none."""
    wanted = [_written(local), _written(remote)]
    for line in table:
        words = line.split()
        if len(words) > 9 and words[1:3] == wanted:
            return int(words[9]) or None
    return None


def holds(process: int, inode: int) -> bool:
    """Whether the process has this socket open."""
    folder = f"/proc/{process}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):  # closed meanwhile
                found = _SOCKET.fullmatch(os.readlink(f"{folder}/{name}"))
                if found and int(found[1]) == inode:
                    return True
    return False


def _written(address: Address) -> str:
    """As the table writes it: the four bytes of the host as one number of this machine, in hex."""
    host = int.from_bytes(socket.inet_aton(address[0]), byteorder="little" if _IS_LITTLE else "big")
    return f"{host:08X}:{address[1]:04X}"


_IS_LITTLE = memoryview(b"\x01\x00").cast("H")[0] == 1

"""The process at the other end of a unix socket, as the kernel knows it. Standard library alone."""

import socket
import struct
import sys
from typing import Protocol

_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 1, 2
_XUCRED_BYTES = 76


class _UnixSocket(Protocol):
    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


def user_of(connection: _UnixSocket) -> int:
    """The user id of the process that connected, or, seen from there, of the one that listens."""
    if sys.platform == "darwin":
        # getpeereid(3) reads the same: struct xucred, a version, the user id, groups.
        xucred = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
        return int(struct.unpack_from("=II", xucred)[1])
    return _credentials(connection)[1]


def process_of(connection: _UnixSocket) -> int:
    """The process id of the same; 0 where that process is out of sight, as in another container."""
    if sys.platform == "darwin":
        return int(struct.unpack("=i", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))[0])
    return _credentials(connection)[0]


def _credentials(connection: _UnixSocket) -> tuple[int, int, int]:
    """The kernel's struct ucred: process, user, group."""
    format = "3i"
    options = (socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(format))
    process, user, group = struct.unpack(format, connection.getsockopt(*options))
    return process, user, group

"""The user at the other end of a unix socket, as the kernel knows it. Standard library alone."""

import socket
import struct
import sys
from typing import Protocol

_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1
_XUCRED_BYTES = 76


class _UnixSocket(Protocol):
    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


def user_of(connection: _UnixSocket) -> int:
    """The user id of the process that connected, or, seen from there, of the one that listens."""
    if sys.platform == "darwin":
        # getpeereid(3) reads the same: struct xucred, a version, the user id, groups.
        xucred = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
        return int(struct.unpack_from("=II", xucred)[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])

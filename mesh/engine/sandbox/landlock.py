"""Landlock: a process gives up files, ports and signals for itself and all its children, without root.

It uses raw system calls, since neither Python nor glibc has them. Numbers and rights are those of
linux/landlock.h; each ABI version adds rights, and a kernel refuses those that it does not know.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

READ = 1 << 2 | 1 << 3
"""Open files for reading, list directories."""
EXECUTE = 1 << 0
DEVICE = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 15
"""Read and write what exists, and ioctl on it: what a device node is opened for."""
SCRATCH = DEVICE | 1 << 5 | 1 << 8 | 1 << 14
"""Make, write, truncate and remove files."""
OVERWRITE = 1 << 1 | 1 << 2 | 1 << 14
"""Read, write and truncate files that exist; make none."""

_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPES = 1 << 0 | 1 << 1  # abstract unix sockets, signals
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every architecture
_PATH_BENEATH, _NET_PORT = 1, 2
_VERSION = 1 << 0

NETWORK_SINCE = 4
SCOPES_SINCE = 6


def abi() -> int:
    """The version that this kernel has; 0 for none."""
    if sys.platform != "linux":
        return 0
    try:
        return max(0, _call(_CREATE, None, 0, _VERSION))
    except OSError:
        return 0


def restrict(paths: Iterable[tuple[str, int]], bind: Iterable[int], connect: Iterable[int] = ()) -> None:
    """Restrict this process: ``paths``, each with what is beneath it, with those rights; no other file.

    It may listen on the TCP ports ``bind`` alone and connect to the ports ``connect`` alone; it may signal no
    process outside. What the kernel does not know is left out, and so are paths that do not exist. Needs
    PR_SET_NO_NEW_PRIVS; raises OSError.
    """
    version = abi()
    files = _handled(version)
    attributes = struct.pack(
        "=QQQ",
        files,
        _BIND_TCP | _CONNECT_TCP if version >= NETWORK_SINCE else 0,
        _SCOPES if version >= SCOPES_SINCE else 0,
    )
    size = 8 if version < NETWORK_SINCE else 16 if version < SCOPES_SINCE else 24
    ruleset = _call(_CREATE, attributes[:size], size, 0)
    try:
        for path, rights in paths:
            _allow(ruleset, path, rights & files)
        if version >= NETWORK_SINCE:
            for right, ports in ((_BIND_TCP, bind), (_CONNECT_TCP, connect)):
                for port in ports:
                    _call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", right, port), 0)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _handled(version: int) -> int:
    """All rights over files that a version knows: 13 at first, REFER, TRUNCATE and IOCTL_DEV later."""
    count = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    return (1 << count) - 1


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    finally:
        os.close(beneath)


def _call(number: int, *arguments: int | bytes | None) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = library.syscall(ctypes.c_long(number), *given)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)

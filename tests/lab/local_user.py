"""Runs a command as another local user. Root alone can, with the right to mount; on Linux.

The user sees the interpreter, this checkout and the paths that are named, also where root alone may enter the
folders around them: in a mount namespace of the command's own. On the machine nothing changes.
"""

import ctypes
import json
import os
import pwd
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_NEW_NS, _NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 0x20000, 0x2, 0x4, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_SYS_ADMIN = 1 << 21


def is_possible() -> bool:
    """Whether this process has root's rights, as a container's root has not."""
    if sys.platform != "linux" or os.getuid() != 0:
        return False
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return bool(int(status.partition("CapEff:\t")[2].split()[0], 16) & _SYS_ADMIN)


def nobody() -> int:
    """A user without rights."""
    return pwd.getpwnam("nobody").pw_uid


def command_as(user: int, argv: Sequence[str], sees: Iterable[Path] = ()) -> list[str]:
    """The command that runs ``argv`` as ``user``, who has no other group; it ends with its starter.

    ``sees`` are folders that the user is to find where they are. Whose they are does not change.
    """
    needed = [str(path) for path in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix), *sees)]
    return [sys.executable, "-I", "-S", __file__, str(user), json.dumps(needed), *argv]


def show(folders: Iterable[str]) -> None:
    """Put an empty folder that all may enter in place of each shut one, and these folders into it."""
    shut = {folder: first for folder in folders if (first := _first_shut(folder)) is not None}
    held = {folder: os.open(folder, os.O_PATH) for folder in shut}
    before = os.umask(0o022)
    for first in sorted(set(shut.values())):
        _mount("tmpfs", first, "tmpfs", _NOSUID | _NODEV, "mode=755")
    for folder, descriptor in sorted(held.items()):
        os.makedirs(folder, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", folder, None, _BIND | _REC)
        os.close(descriptor)
    os.umask(before)


def _first_shut(folder: str) -> str | None:
    """The first folder around this one that not everybody may enter."""
    around = [str(path) for path in reversed(Path(folder).parents)]
    return next((path for path in around if not os.stat(path).st_mode & 0o001), None)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _checked(_LIBRARY.mount(*words, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


_LIBRARY = ctypes.CDLL(None, use_errno=True)


def main(user: int, folders: Sequence[str], argv: Sequence[str]) -> None:
    """Become that user's command."""
    starter, account = os.getppid(), pwd.getpwuid(user)
    _checked(_LIBRARY.unshare(_NEW_NS), "unshare")
    _mount("none", "/", None, _REC | _PRIVATE)
    show([os.path.realpath(folder) for folder in folders])
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(user, user, user)
    _LIBRARY.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != starter:  # it ended before the request was made
        os._exit(126)
    os.execvpe(argv[0], list(argv), {**os.environ, "HOME": account.pw_dir, "USER": account.pw_name})


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:])

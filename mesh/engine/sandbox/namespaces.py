"""A network namespace for one program, and as root a user of its own that sees its files alone. Linux.

An ordinary user makes the namespaces within a user namespace of its own, where the kernel lets it. Root needs
none: it makes them as they are, and then becomes the other user.
"""

import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterable, Mapping, Sequence

_NEW_NS, _NEW_IPC, _NEW_USER, _NEW_NET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
_NOSUID, _NODEV, _REC, _PRIVATE = 0x2, 0x4, 0x4000, 0x40000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_TREE_CLONE, _TREE_CLOEXEC = 1, os.O_CLOEXEC
_EMPTY_PATH, _FROM_EMPTY_PATH, _AT_FDCWD = 0x1000, 0x4, -100
_ATTR_READ_ONLY, _ATTR_ID_MAP = 0x1, 0x100000
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x1 | 0x40

_SHARED_MEMORY = "/dev/shm"


def enter() -> None:
    """Leave the machine's network, System V objects and mounts. Raises OSError where that is refused."""
    user, group = os.getuid(), os.getgid()
    _checked(_library().unshare(_NEW_NET | _NEW_IPC | _NEW_NS | (_NEW_USER if user else 0)), "unshare")
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _mount(b"none", b"/", None, _REC | _PRIVATE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("=16sH14x", b"lo", _UP_AND_RUNNING))


def replace_shared_memory(limit: int) -> None:
    """Shared memory of its own, of at most so many bytes, that ends with the namespace."""
    if os.path.isdir(_SHARED_MEMORY):
        options = f"mode=1777,size={limit}".encode()
        _mount(b"tmpfs", os.fsencode(_SHARED_MEMORY), b"tmpfs", _NOSUID | _NODEV, options)


def show(user: int, reads: Iterable[str], writes: Iterable[str]) -> bool:
    """Mount these paths, where they are, so that ``user`` owns what their owners own; hide all beside them.

    A folder that the user may not enter (root's home) is replaced by an empty one that has just these paths.
    Returns False, and has changed nothing, where the kernel or a file system cannot map owners.
    """
    wanted = dict.fromkeys(reads, True) | dict.fromkeys(writes, False)
    wanted = {path: read_only for path, read_only in wanted.items() if os.path.exists(path)}
    try:
        trees = _mapped_trees(user, wanted)
    except OSError:
        return False
    targets = sorted({target for target, _ in trees}, key=_by_links)
    is_folder = {target: os.path.isdir(target) for target in targets}
    hidden = sorted({os.path.realpath(shut) for target in targets if (shut := _shut(target)) is not None})
    before = os.umask(0o022)  # the sidecar's would shut the places between them to this user
    for folder in hidden:
        if os.path.isdir(folder):  # else it is in one that is hidden already
            _mount(b"tmpfs", os.fsencode(folder), b"tmpfs", _NOSUID | _NODEV, b"mode=755,size=1m")
    for target, tree in sorted(trees, key=lambda one: targets.index(one[0])):
        if not os.path.exists(target):
            _make_place(target, is_folder[target], hidden)
        if not os.path.islink(target):
            _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _FROM_EMPTY_PATH)
        os.close(tree)
    os.umask(before)
    return True


def _mapped_trees(user: int, wanted: Mapping[str, bool]) -> list[tuple[str, int]]:
    """A detached mount for each path and name of it."""
    mapped: dict[int, int] = {}
    trees: list[tuple[str, int]] = []
    try:
        for path, read_only in wanted.items():
            owner = os.stat(path).st_uid
            if owner not in mapped:
                mapped[owner] = _user_namespace(owner, user)
            trees += [(name, _tree(path, mapped[owner], read_only)) for name in _names(path)]
    except OSError:
        for _, tree in trees:
            os.close(tree)
        raise
    finally:
        for namespace in mapped.values():
            os.close(namespace)
    return trees


def _names(path: str) -> set[str]:
    """By which it may be found: its own one, that without links on the way, and its real one."""
    folder, name = os.path.split(path)
    return {path, os.path.join(os.path.realpath(folder), name), os.path.realpath(path)}


def _by_links(target: str) -> tuple[bool, str]:
    """Sorts names without links on the way before those that need what is there then."""
    folder = os.path.dirname(target)
    return os.path.realpath(folder) != folder, target


def _make_place(target: str, is_folder: bool, hidden: Iterable[str]) -> None:
    """Make what is missing, in the empty folders alone: elsewhere somebody else has just taken it away."""
    if not any(target.startswith(f"{folder}/") for folder in hidden):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), target)
    os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
    if not is_folder:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o644))


def become(user: int, groups: Sequence[int]) -> None:
    """Be that user, with no group but its own and these."""
    os.setgroups(list(groups))
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _shut(path: str) -> str | None:
    """The first folder on the way to ``path`` that not everybody may enter; None where there is none."""
    folder = "/"
    for name in path.split("/")[1:-1]:
        folder = os.path.join(folder, name)
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return folder
    return None


def _tree(path: str, mapped: int, read_only: bool) -> int:
    """A descriptor of a detached mount of ``path``, with its owners mapped."""
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _TREE_CLONE | _TREE_CLOEXEC)
    attributes = _ATTR_ID_MAP | (_ATTR_READ_ONLY if read_only else 0)
    _call(_MOUNT_SETATTR, tree, b"", _EMPTY_PATH, struct.pack("=QQQQ", attributes, 0, 0, mapped), 32)
    return tree


def _user_namespace(owner: int, user: int) -> int:
    """A descriptor of a user namespace that makes ``user`` of ``owner``: what maps owners on a mount.

    It lives in a child for as long as it takes to open it.
    """
    made, told = os.pipe()
    ended, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(told, b"+" if _library().unshare(_NEW_USER) == 0 else b"-")
        os.close(end)
        os.read(ended, 1)
        os._exit(0)
    os.close(told)  # so that its end is seen, if it ends without a word
    try:
        if os.read(made, 1) != b"+":
            raise OSError("no user namespace can be made")
        for kind in ("uid_map", "gid_map"):
            _write(f"/proc/{child}/{kind}", f"{owner} {user} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (made, ended, end):
            os.close(descriptor)
        os.waitpid(child, 0)


def _write(path: str, line: str) -> None:
    with open(path, "w", encoding="ascii") as opened:
        opened.write(line)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    _checked(
        _library().mount(source, target, kind, ctypes.c_ulong(flags), data), f"mount {os.fsdecode(target)}"
    )


def _call(number: int, *arguments: int | bytes) -> int:
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_library().syscall(ctypes.c_long(number), *given), f"system call {number}")


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return int(result)

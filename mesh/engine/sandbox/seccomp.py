"""A filter on system calls for a program that computes and speaks TCP over IPv4.

It refuses (EPERM) whole kinds of calls: what changes files' metadata or locks them, what reaches other
processes, new processes and namespaces, what outlives the process, what opens more of the kernel, and every
socket but TCP over IPv4. It allows the rest: GPU drivers use more system calls than anyone could list.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Sequence

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_X32 = 0x40000000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_ABSENT = -1
# System call: its number on x86_64, on aarch64. From 424 on they are the same everywhere.
_METADATA = {
    "chmod": (90, _ABSENT),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, _ABSENT),
    "fchown": (93, 55),
    "lchown": (94, _ABSENT),
    "fchownat": (260, 54),
    "utime": (132, _ABSENT),
    "utimes": (235, _ABSENT),
    "futimesat": (261, _ABSENT),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "inotify_init": (253, _ABSENT),  # tells what others do with files that they alone may read
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "truncate": (76, 45),  # by a path: old versions of Landlock let it
    "flock": (73, 32),  # of a file that it may only read, and others wait for
}
_OTHER_PROCESSES = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "setns": (308, 268),
    "setpgid": (109, 154),  # who ends it signals its group
    "setsid": (112, 157),
}
_NEW_PROCESSES = {
    "fork": (57, _ABSENT),
    "vfork": (58, _ABSENT),
}
_NAMESPACES = {
    "unshare": (272, 97),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}
_OUTLIVING = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),  # of others, by an id that can be guessed
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
_MORE_KERNEL = {
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),  # would go around this filter
    "io_setup": (206, 0),  # counts against the machine's number of them
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "modify_ldt": (154, _ABSENT),
    "syslog": (103, 116),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
}
_REFUSED = {**_METADATA, **_OTHER_PROCESSES, **_NEW_PROCESSES, **_NAMESPACES, **_OUTLIVING, **_MORE_KERNEL}
# Memory without a mapping, which no limit on mappings counts. Drivers need it.
_HIDDEN_MEMORY = {"memfd_create": (319, 279), "memfd_secret": (447, 447)}
_CONNECT = (42, 203)

# Calls that may be about this process alone: the argument that names a process, which is 0 or its id.
_ABOUT_ITSELF = {
    "tgkill": ((234, 131), 0),  # how a thread signals its own process: abort
    "prlimit64": ((302, 261), 0),
    "move_pages": ((279, 239), 0),
    "get_robust_list": ((274, 100), 0),
    "sched_setparam": ((142, 118), 0),
    "sched_setscheduler": ((144, 119), 0),
    "sched_setattr": ((314, 274), 0),
}
# The same for calls that may also be about a group or a user: the first argument that means one process.
_OF_ONE_PROCESS = {
    "setpriority": ((141, 140), 0),
    "ioprio_set": ((251, 30), 1),
}
# Drivers pin their threads, by ids that nobody knows beforehand.
_OF_THREADS = {"sched_setaffinity": ((203, 122), 0)}

# By the index of the argument, its values that would reach others.
_FORBIDDEN_COMMANDS = {
    # F_SETOWN, F_SETSIG, F_SETOWN_EX signal another process; F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW,
    # F_SETLEASE, F_NOTIFY and F_SETDELEG make it wait, or tell what it does; F_SETPIPE_SZ takes from what all
    # pipes of a user share.
    "fcntl": ((72, 25), 1, (8, 10, 15, 6, 7, 37, 38, 1024, 1026, 1040, 1031)),
    # PR_SET_PDEATHSIG: it would outlive who started it. PR_SCHED_CORE keeps others from a processor.
    "prctl": ((157, 167), 0, (1, 62)),
}
_IOCTL = (16, 29)
# FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, and whether it is a terminal (TCGETS, TCGETS2, TIOCGWINSZ).
_ORDINARY_CONTROLS = (0x5421, 0x541B, 0x5451, 0x5450, 0x5401, 0x802C542A, 0x5413)
# Drivers have controls of their own, but need none of a terminal that give it input or take it over (TIOCSTI,
# TIOCLINUX, TIOCSCTTY, TIOCSPGRP), ...
_TERMINAL_CONTROLS = (0x5412, 0x541C, 0x540E, 0x5410)
# ... none of whole types: of files' attributes ("f", "X", "v", btrfs, f2fs), which ask for no right to write,
# and of sockets, which tell the machine's addresses and signal a descriptor's owner.
_FORBIDDEN_CONTROL_TYPES = (0x6600, 0x5800, 0x7600, 0x9400, 0xF500, 0x8900)
_CONTROL_TYPE = 0xFF00
# With the index of their flags. Who may not write a file may not empty it either: old versions of Landlock do
# not look at that.
_OPENS = {"open": ((2, _ABSENT), 1), "openat": ((257, 56), 2)}
_ACCESS, _TRUNCATION = 0x3, 0x200
_EMPTYING_READERS = (_TRUNCATION, _TRUNCATION | _ACCESS)
_FASTOPEN = 0x20000000  # sends that connect
_SENDS = {"sendto": ((44, 206), 3), "sendmsg": ((46, 211), 2), "sendmmsg": ((307, 269), 3)}

_CLONE = (56, 220)
# No filter can read their flags; where they do not exist, the C library takes clone and openat.
_UNREADABLE = {"clone3": (435, 435), "openat2": (437, 437)}
_CLONE_THREAD, _CLONE_PARENT = 0x10000, 0x8000
_CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_AF_INET, _SOCK_STREAM, _TYPE_MASK, _TCP = 2, 1, 0xF, 6
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

Instruction = tuple[int, int, int, int]
_REFUSE: Instruction = (_RETURN, 0, 0, _FAIL | _EPERM)
_PASS: Instruction = (_RETURN, 0, 0, _ALLOW)


def available() -> bool:
    """Whether this kernel has filters, and this module knows the machine's system calls.

    A program of 32 bits has others, also where the kernel has 64.
    """
    return (
        sys.platform == "linux"
        and sys.maxsize > 1 << 32
        and os.uname().machine in _MACHINES
        and os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
    )


def program(machine: str, process: int, *, connects: bool = False, device: bool = False) -> list[Instruction]:
    """The filter for a process of that id, as (code, jump if true, jump if false, operand) of classic BPF.

    ``connects``: it opens TCP connections. ``device``: it drives an accelerator.
    """
    column, architecture = _MACHINES[machine]
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _REFUSE,
    ]
    for numbers in _UNREADABLE.values():
        lines += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _FAIL | _ENOSYS)]
    refused = [*_REFUSED.values(), *([] if device else _HIDDEN_MEMORY.values())]
    refused += [] if connects else [_CONNECT]
    for numbers in refused:
        if numbers[column] != _ABSENT:
            lines += [(_EQUAL, 0, 1, numbers[column]), _REFUSE]
    about_itself = _ABOUT_ITSELF | ({} if device else _OF_THREADS)
    for numbers, index in about_itself.values():
        lines += _for(numbers[column], [*_load(index), *_either([0, process]), _REFUSE])
    for numbers, kind in _OF_ONE_PROCESS.values():
        one = [*_load(0), (_EQUAL, 1, 0, kind), _REFUSE]
        lines += _for(numbers[column], [*one, *_load(1), *_either([0, process]), _REFUSE])
    for numbers, index, commands in _FORBIDDEN_COMMANDS.values():
        lines += _for(numbers[column], [*_load(index), *_neither(commands), _PASS])
    lines += _for(_IOCTL[column], _controls(device))
    for numbers, index in _OPENS.values():
        if numbers[column] != _ABSENT:
            emptied = [(_AND, 0, 0, _ACCESS | _TRUNCATION), *_neither(_EMPTYING_READERS), _PASS]
            lines += _for(numbers[column], [*_load(index), *emptied])
    for numbers, index in _SENDS.values():
        lines += _for(numbers[column], [*_load(index), (_ANY_BIT, 0, 1, _FASTOPEN), _REFUSE, _PASS])
    for numbers, then in ((_CLONE, _thread()), (_SOCKET, _tcp()), (_SOCKETPAIR, _stream())):
        lines += _for(numbers[column], then)
    return [*lines, _PASS]


def _for(number: int, then: Sequence[Instruction]) -> list[Instruction]:
    """``then``, which returns, for that system call; the register holds the number before and behind it."""
    return [(_EQUAL, 0, len(then), number), *then]


def _load(index: int) -> list[Instruction]:
    """The low half of an argument: all that is looked at here is an int."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index)]


def _either(values: Iterable[int]) -> list[Instruction]:
    return [line for value in values for line in ((_EQUAL, 0, 1, value), _PASS)]


def _neither(values: Iterable[int]) -> list[Instruction]:
    return [line for value in values for line in ((_EQUAL, 0, 1, value), _REFUSE)]


def _controls(device: bool) -> list[Instruction]:
    if not device:
        return [*_load(1), *_either(_ORDINARY_CONTROLS), _REFUSE]
    types = [(_AND, 0, 0, _CONTROL_TYPE), *_neither(_FORBIDDEN_CONTROL_TYPES)]
    return [*_load(1), *_neither(_TERMINAL_CONTROLS), *types, _PASS]


def _thread() -> list[Instruction]:
    """clone makes threads of this process: no child, no namespace."""
    return [
        *_load(0),
        (_ANY_BIT, 0, 1, _CLONE_NEW | _CLONE_PARENT),
        _REFUSE,
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        _REFUSE,
        _PASS,
    ]


def _tcp() -> list[Instruction]:
    return [
        *_load(0),
        (_EQUAL, 0, 6, _AF_INET),
        *_load(1),
        (_AND, 0, 0, _TYPE_MASK),
        (_EQUAL, 0, 3, _SOCK_STREAM),
        *_load(2),
        (_EQUAL, 2, 0, 0),
        (_EQUAL, 1, 0, _TCP),
        _REFUSE,
        _PASS,
    ]


def _stream() -> list[Instruction]:
    """A pair of datagram sockets could send to any daemon's."""
    return [*_load(1), (_AND, 0, 0, _TYPE_MASK), (_EQUAL, 0, 1, _SOCK_STREAM), _PASS, _REFUSE]


def install(*, connects: bool = False, device: bool = False) -> None:
    """Filter this process and all its children. Needs PR_SET_NO_NEW_PRIVS; raises OSError."""
    lines = program(os.uname().machine, os.getpid(), connects=connects, device=device)
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(lines), ctypes.addressof(buffer))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), header, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""A filter on system calls for a program that computes and serves one TCP port.

It refuses (EPERM): every socket but TCP over IPv4, connecting, signals to other processes and looking into
them, namespaces, mounts, keys, io_uring (which would go around the filter) and what loads code into the
kernel. It allows the rest: GPU drivers use more system calls than anyone could list.
"""

import ctypes
import os
import platform
import struct
import sys

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000
_X32 = 0x40000000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_FASTOPEN = 0x20000000  # sends that connect
_AF_INET, _SOCK_STREAM, _TYPE_MASK, _TCP = 2, 1, 0xF, 6

# System call: its number on x86_64, on aarch64.
_REFUSED = {
    "connect": (42, 203),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
}
_SOCKET = (41, 198)
_TGKILL = (234, 131)  # how a thread signals its own process: abort
# With the index of their flags.
_SENDS = {"sendto": ((44, 206), 3), "sendmsg": ((46, 211), 2), "sendmmsg": ((307, 269), 3)}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

Instruction = tuple[int, int, int, int]


def available() -> bool:
    """Whether this kernel has filters, and this module knows the machine's system calls."""
    return (
        sys.platform == "linux"
        and platform.machine() in _MACHINES
        and os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
    )


def program(machine: str, process: int) -> list[Instruction]:
    """The filter for a process of that id, as (code, jump if true, jump if false, operand) of classic BPF."""
    column, architecture = _MACHINES[machine]
    refuse = (_RETURN, 0, 0, _REFUSE)
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
    ]
    for numbers in _REFUSED.values():
        lines += [(_EQUAL, 0, 1, numbers[column]), refuse]
    lines += [
        (_EQUAL, 0, 4, _TGKILL[column]),
        (_LOAD, 0, 0, _ARGUMENTS),
        (_EQUAL, 1, 0, process),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    for numbers, flags in _SENDS.values():
        lines += [
            (_EQUAL, 0, 4, numbers[column]),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * flags),
            (_ANY_BIT, 0, 1, _FASTOPEN),
            refuse,
            (_RETURN, 0, 0, _ALLOW),
        ]
    lines += [
        (_EQUAL, 0, 9, _SOCKET[column]),  # no other call: allowed
        (_LOAD, 0, 0, _ARGUMENTS),
        (_EQUAL, 0, 6, _AF_INET),
        (_LOAD, 0, 0, _ARGUMENTS + 8),
        (_AND, 0, 0, _TYPE_MASK),
        (_EQUAL, 0, 3, _SOCK_STREAM),
        (_LOAD, 0, 0, _ARGUMENTS + 16),
        (_EQUAL, 2, 0, 0),
        (_EQUAL, 1, 0, _TCP),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return lines


def install() -> None:
    """Filter this process and all its children. Needs PR_SET_NO_NEW_PRIVS; raises OSError."""
    lines = program(platform.machine(), os.getpid())
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(lines), ctypes.addressof(buffer))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), header, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

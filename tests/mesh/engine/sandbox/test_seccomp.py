"""The filter's program, run on paper for both machines; what it keeps a program from: see test_launcher."""

import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.engine.sandbox import seccomp

ALLOW, REFUSE, NOT_THERE, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SOCKET = {"x86_64": 41, "aarch64": 198}
SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
IOCTL = {"x86_64": 16, "aarch64": 29}
SENDTO = {"x86_64": 44, "aarch64": 206}
CONNECT = {"x86_64": 42, "aarch64": 203}
CLONE = {"x86_64": 56, "aarch64": 220}
OWN = 4711
BOTH = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def verdict(
    machine: str,
    number: int,
    *arguments: int,
    architecture: int | None = None,
    connects: bool = False,
    device: bool = False,
) -> int:
    """What the filter says of a call, by an interpreter of the few instructions that it uses."""
    fields = {0: number, 4: ARCHITECTURES[machine] if architecture is None else architecture}
    fields |= {16 + 8 * index: value for index, value in enumerate((*arguments, *[0] * (6 - len(arguments))))}
    lines = seccomp.program(machine, OWN, connects=connects, device=device)
    at = register = 0
    while True:
        code, yes, no, operand = lines[at]
        at += 1
        if code == 0x20:
            register = fields[operand]
        elif code == 0x54:
            register &= operand
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: register == operand, 0x35: register >= operand, 0x45: bool(register & operand)}
            at += yes if holds[code] else no


@BOTH
@pytest.mark.parametrize(
    ("family", "kind", "protocol", "expected"),
    [
        (2, 1, 0, ALLOW),
        (2, 1, 6, ALLOW),
        (2, 1 | 0o2000000 | 0o4000, 0, ALLOW),
        (2, 2, 0, REFUSE),
        (2, 3, 1, REFUSE),
        (2, 1, 262, REFUSE),
        (1, 1, 0, REFUSE),
        (10, 1, 0, REFUSE),
        (16, 3, 0, REFUSE),
        (40, 1, 0, REFUSE),
    ],
    ids=["tcp", "tcp by name", "tcp with flags", "udp", "raw", "mptcp", "unix", "ipv6", "netlink", "vsock"],
)
def test_only_tcp_sockets_are_made(
    machine: str, family: int, kind: int, protocol: int, expected: int
) -> None:
    assert verdict(machine, SOCKET[machine], family, kind, protocol) == expected


@BOTH
@pytest.mark.parametrize(
    ("kind", "expected"), [(1, ALLOW), (1 | 0o2000000, ALLOW), (2, REFUSE), (5, REFUSE), (2 | 0o4000, REFUSE)]
)
def test_pairs_of_sockets_are_streams(machine: str, kind: int, expected: int) -> None:
    assert verdict(machine, SOCKETPAIR[machine], 1, kind) == expected


@BOTH
def test_every_listed_call_is_refused_and_any_other_allowed(machine: str) -> None:
    column = list(ARCHITECTURES).index(machine)
    refused = {numbers[column] for numbers in seccomp._REFUSED.values()} - {seccomp._ABSENT}
    with_device = {number for number in range(500) if verdict(machine, number, 2, 1, device=True) == REFUSE}
    about_itself = (seccomp._ABOUT_ITSELF | seccomp._OF_ONE_PROCESS).values()
    judged = {numbers[column] for numbers, _ in about_itself} | {CLONE[machine]}
    assert with_device - judged == refused | {CONNECT[machine]}
    without = {number for number in range(500) if verdict(machine, number, 2, 1) == REFUSE}
    more = {**seccomp._HIDDEN_MEMORY, "pin": seccomp._OF_THREADS["sched_setaffinity"][0], "c": seccomp._IOCTL}
    assert without - with_device == {numbers[column] for numbers in more.values()}


@BOTH
def test_only_a_program_that_connects_may_connect(machine: str) -> None:
    assert verdict(machine, CONNECT[machine]) == REFUSE
    assert verdict(machine, CONNECT[machine], connects=True) == ALLOW


@BOTH
@given(flags=st.integers(0, 2**32 - 1))
@example(flags=0x3D0F00)  # as the C library makes a thread
@example(flags=17)  # as it forks
@example(flags=0x10000000 | 0x10000)
def test_clone_makes_threads_alone(machine: str, flags: int) -> None:
    makes_more = flags & (0x7E020000 | 0x8000)  # namespaces, or a sibling
    expected = ALLOW if flags & 0x10000 and not makes_more else REFUSE
    assert verdict(machine, CLONE[machine], flags) == expected
    assert verdict(machine, 435, flags) == NOT_THERE  # where it does not exist the C library takes clone


@BOTH
def test_sends_that_would_connect_are_refused(machine: str) -> None:
    assert verdict(machine, SENDTO[machine], 3, 4, 5, 0x4000) == ALLOW
    assert verdict(machine, SENDTO[machine], 3, 4, 5, 0x20004000) == REFUSE


@BOTH
@pytest.mark.parametrize("flags", range(0, 0x1000, 0x40))
def test_a_file_is_emptied_by_who_writes_it_alone(machine: str, flags: int) -> None:
    for access in range(4):
        given = (flags | access, 0o600)
        expected = REFUSE if flags & os.O_TRUNC and access not in (os.O_WRONLY, os.O_RDWR) else ALLOW
        assert verdict(machine, {"x86_64": 257, "aarch64": 56}[machine], 3, 4, *given) == expected
        if machine == "x86_64":
            assert verdict(machine, 2, 4, *given) == expected
    assert verdict(machine, 437) == NOT_THERE


@BOTH
@pytest.mark.parametrize("name", seccomp._ABOUT_ITSELF)
def test_what_names_a_process_may_name_itself_alone(machine: str, name: str) -> None:
    numbers, index = seccomp._ABOUT_ITSELF[name]
    number, before = numbers[list(ARCHITECTURES).index(machine)], [7] * index
    assert [verdict(machine, number, *before, process) for process in (0, OWN)] == [ALLOW, ALLOW]
    for other in (1, OWN + 1, 2**32 - 1):
        assert verdict(machine, number, *before, other) == REFUSE


@BOTH
def test_drivers_may_pin_threads(machine: str) -> None:
    number = seccomp._OF_THREADS["sched_setaffinity"][0][list(ARCHITECTURES).index(machine)]
    assert verdict(machine, number, OWN + 1, device=True) == ALLOW
    assert verdict(machine, number, OWN + 1) == REFUSE


@BOTH
@pytest.mark.parametrize(("name", "kind"), [("setpriority", 0), ("ioprio_set", 1)])
def test_a_priority_is_of_one_process_that_is_its_own(machine: str, name: str, kind: int) -> None:
    number = seccomp._OF_ONE_PROCESS[name][0][list(ARCHITECTURES).index(machine)]
    for which in range(4):  # a process, a group, a user: 0 means its own
        for process in (0, OWN):
            assert verdict(machine, number, which, process) == (ALLOW if which == kind else REFUSE)
        assert verdict(machine, number, which, OWN + 1) == REFUSE


@BOTH
@pytest.mark.parametrize("name", seccomp._FORBIDDEN_COMMANDS)
def test_commands_that_reach_others_are_refused_and_no_other(machine: str, name: str) -> None:
    numbers, index, commands = seccomp._FORBIDDEN_COMMANDS[name]
    number, before = numbers[list(ARCHITECTURES).index(machine)], [0] * index
    refused = {command for command in range(2000) if verdict(machine, number, *before, command) == REFUSE}
    assert refused == set(commands)


FILE_CONTROLS = {
    "FS_IOC_SETFLAGS": 0x40086602,
    "FS_IOC_FSSETXATTR": 0x401C5820,
    "FS_IOC_SETVERSION": 0x40087602,
    "FS_IOC_ENABLE_VERITY": 0x40806685,
    "BTRFS_IOC_SNAP_CREATE": 0x50009401,
    "F2FS_IOC_START_ATOMIC_WRITE": 0xF501,
    "FIOSETOWN": 0x8901,
    "SIOCSPGRP": 0x8902,
    "SIOCGIFCONF": 0x8912,
    "TIOCSTI": 0x5412,
    "TIOCLINUX": 0x541C,
    "TIOCSCTTY": 0x540E,
}
DRIVER_CONTROLS = {"DRM_IOCTL_VERSION": 0xC0406400, "nvidia": 0xC020462A, "kfd": 0x80084B01}
ORDINARY_CONTROLS = {"FIONBIO": 0x5421, "FIOCLEX": 0x5451, "TCGETS": 0x5401, "FIONREAD": 0x541B}


@BOTH
@pytest.mark.parametrize("device", [False, True])
def test_controls_of_others_files_and_terminals_are_refused(machine: str, device: bool) -> None:
    def judged(controls: dict[str, int]) -> set[int]:
        return {verdict(machine, IOCTL[machine], 3, control, device=device) for control in controls.values()}

    assert judged(FILE_CONTROLS) == {REFUSE}
    assert judged(ORDINARY_CONTROLS) == {ALLOW}
    assert judged(DRIVER_CONTROLS) == {ALLOW if device else REFUSE}


HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h")
_DEFINED = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")


@pytest.mark.skipif(not all(map(os.path.exists, HEADERS)), reason="this machine has not the kernel's headers")
def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    calls = {**seccomp._REFUSED, **seccomp._HIDDEN_MEMORY, "connect": seccomp._CONNECT}
    calls |= {"clone": seccomp._CLONE, "ioctl": seccomp._IOCTL} | seccomp._UNREADABLE
    calls |= {"socket": seccomp._SOCKET, "socketpair": seccomp._SOCKETPAIR}
    with_index = (seccomp._ABOUT_ITSELF, seccomp._OF_ONE_PROCESS, seccomp._OF_THREADS)
    for judged in (*with_index, seccomp._SENDS, seccomp._OPENS):
        calls |= {name: numbers for name, (numbers, _) in judged.items()}
    calls |= {name: numbers for name, (numbers, _, _) in seccomp._FORBIDDEN_COMMANDS.items()}
    for column, header in enumerate(HEADERS):
        known = {name: int(number) for name, number in _DEFINED.findall(Path(header).read_text())}
        here = {name: numbers[column] for name, numbers in calls.items() if name in known}
        assert here == {name: known[name] for name in here}
        assert len(here) > 90


@BOTH
def test_the_calls_of_another_architecture_end_the_program(machine: str) -> None:
    assert verdict(machine, 1, architecture=0x40000003) == KILL
    assert verdict(machine, 0x40000000 + 41, 2, 1) == REFUSE


def test_a_program_of_32_bits_on_a_kernel_of_64_is_not_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "maxsize", (1 << 31) - 1)
    assert not seccomp.available()

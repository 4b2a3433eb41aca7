"""The filter's program, run on paper for both machines; what it keeps a program from: see test_sandbox."""

import pytest

from mesh.engine.sandbox import seccomp

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SOCKET = {"x86_64": 41, "aarch64": 198}
SENDTO = {"x86_64": 44, "aarch64": 206}
TGKILL = {"x86_64": 234, "aarch64": 131}
OWN = 4711
BOTH = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter says of a call, by an interpreter of the few instructions that it uses."""
    fields = {0: number, 4: ARCHITECTURES[machine] if architecture is None else architecture}
    fields |= {16 + 8 * index: value for index, value in enumerate((*arguments, *[0] * (6 - len(arguments))))}
    lines = seccomp.program(machine, OWN)
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
def test_every_listed_call_is_refused_and_any_other_allowed(machine: str) -> None:
    column = list(ARCHITECTURES).index(machine)
    refused = {numbers[column] for numbers in (*seccomp._REFUSED.values(), seccomp._TGKILL)}
    assert {number for number in range(500) if verdict(machine, number, 2, 1) == REFUSE} == refused


@BOTH
def test_sends_that_would_connect_are_refused(machine: str) -> None:
    assert verdict(machine, SENDTO[machine], 3, 4, 5, 0x4000) == ALLOW
    assert verdict(machine, SENDTO[machine], 3, 4, 5, 0x20004000) == REFUSE


@BOTH
def test_a_process_may_signal_itself_alone(machine: str) -> None:
    assert verdict(machine, TGKILL[machine], OWN, 1, 6) == ALLOW
    assert verdict(machine, TGKILL[machine], OWN + 1, 1, 6) == REFUSE


@BOTH
def test_the_calls_of_another_architecture_end_the_program(machine: str) -> None:
    assert verdict(machine, 1, architecture=0x40000003) == KILL
    assert verdict(machine, 0x40000000 + 41, 2, 1) == REFUSE

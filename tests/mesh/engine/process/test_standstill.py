"""A process that stands still is noticed; one that works, waits or was merely looked at late is not."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator

import psutil
import pytest
import trio

from mesh.engine.process.standstill import STOPPED, STUCK, STUCK_ON_DEVICE, Look, Standstill, look, waiting_in
from tests.waiting import until

PAUSED, IDLE, STUCK_LOOK = Look(True, 1.0, 0), Look(False, 1.0, 0), Look(False, 1.0, 4096)


def first_alarm(looks: Iterable[tuple[float, Look]], device: bool = False) -> tuple[float, str] | None:
    standstill = Standstill(device)
    for now, seen in looks:
        reason = standstill.see(now, seen)
        if reason is not None:
            return now, reason
    return None


def every_half(seen: Look, seconds: float, start: float = 100.0) -> list[tuple[float, Look]]:
    return [(start + half / 2, seen) for half in range(int(seconds * 2) + 1)]


def test_a_stopped_process_is_noticed_soon() -> None:
    assert first_alarm(every_half(PAUSED, 60)) == (100 + STOPPED, "was stopped")


def test_one_that_computes_nothing_though_bytes_wait_is_noticed() -> None:
    alarm = first_alarm([(99.5, IDLE), *every_half(STUCK_LOOK, 60)])
    assert alarm == (99.5 + STUCK, "has computed nothing for 5 s though work waits for it")


def test_the_wait_for_an_accelerator_may_take_longer() -> None:
    alarm = first_alarm([(99.5, IDLE), *every_half(STUCK_LOOK, 600)], device=True)
    assert alarm is not None
    assert alarm[0] == 99.5 + STUCK_ON_DEVICE


def test_one_for_which_nothing_waits_may_rest_for_ever() -> None:
    assert first_alarm(every_half(IDLE, 10_000)) is None


def test_one_that_computes_may_let_bytes_wait_for_ever() -> None:
    works = [(100 + half / 2, Look(False, half / 100, 4096)) for half in range(10_000)]
    assert first_alarm(works) is None


def test_looks_far_apart_prove_nothing() -> None:
    assert first_alarm([(now * 10.0, one) for now, one in enumerate([PAUSED, STUCK_LOOK] * 20)]) is None


def test_the_table_of_connections_says_what_waits() -> None:
    table = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt",
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000",
        "   1: 0100007F:1F90 0100007F:C000 01 00000000:00000010 00:00000000",
        "   2: 0100007F:1F90 0100007F:C001 01 00000007:00000100 00:00000000",
        "   3: 0100007F:C001 0100007F:1F90 01 00000000:00000400 00:00000000",
        "   4: 0100007F:1F90 0100007F:C002 08 00000000:00000800 00:00000000",
    ]
    assert waiting_in(table, 0x1F90) == 0x110


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


async def test_a_stopped_process_of_the_system_is_seen_to_be_stopped(child: int) -> None:
    seen = look(child)
    assert seen is not None
    assert not seen.stopped
    os.kill(child, signal.SIGSTOP)
    with trio.fail_after(5):
        await until(lambda: (told := look(child)) is not None and told.stopped)


async def test_bytes_that_a_server_does_not_read_are_seen_to_wait(child: int) -> None:
    if not psutil.LINUX:
        pytest.skip("only Linux tells what waits in a socket")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.send(b"x" * 100)
            with trio.fail_after(5):
                await until(lambda: (told := look(child, port)) is not None and told.waiting == 100)


def test_a_process_that_is_gone_is_not_looked_at() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait(5)
    assert look(process.pid) is None

"""A bridge moves bytes both ways, passes ends on, tells who ended it, and is cut at once."""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import psutil
import pytest
import trio
import trio.testing

from mesh.net import bridge as module
from mesh.net.bridge import CAN_SPLICE, Bridge, Ending, Greeting
from mesh.net.stream_ends import CHUNK, End, Plain
from tests.mesh.net.blocking import fill, sealed_pair, tcp_pair
from tests.waiting import until

WAYS = [
    pytest.param("splice", marks=pytest.mark.skipif(not CAN_SPLICE, reason="splice is Linux's")),
    "copy",
    "tls",
]


@dataclass
class Crossing:
    """A bridge, and what is at its two sides: a program near, a machine far."""

    bridge: Bridge
    near: Plain
    far: End
    endings: list[Ending] = field(default_factory=list)


Build = Callable[..., "Crossing"]


@pytest.fixture(params=WAYS)
async def crossing(request: pytest.FixtureRequest) -> AsyncIterator[Crossing]:
    with trio.fail_after(20):
        one = await make(request.param)
        yield one
    one.near.close()
    one.far.close()


async def make(way: str, asks: Greeting | None = None, answers: Greeting | None = None) -> Crossing:
    near, program = tcp_pair()
    ends: tuple[End, End]
    if way == "tls":
        ends = await sealed_pair()
    else:
        one, other = tcp_pair()
        ends = Plain(one), Plain(other)
    endings: list[Ending] = []
    bridge = Bridge(Plain(near), ends[0], endings.append, asks=asks, answers=answers, splice=way == "splice")
    return Crossing(bridge, Plain(program), ends[1], endings)


async def read(end: End, count: int) -> bytes:
    def take() -> bytes:
        taken = bytearray()
        while len(taken) < count:
            data = end.receive()
            if not data:
                break
            taken += data
        return bytes(taken)

    return await trio.to_thread.run_sync(take)


async def ended(end: End) -> bool:
    """Whether the next thing read is an end, or a break."""

    def take() -> bool:
        try:
            return not end.receive()
        except OSError:
            return True

    return await trio.to_thread.run_sync(take)


async def test_bytes_go_both_ways_and_are_counted(crossing: Crossing, nursery: trio.Nursery) -> None:
    nursery.start_soon(crossing.bridge.run)
    large = bytes(range(256)) * (5 * CHUNK // 256)
    async with trio.open_nursery() as both:
        both.start_soon(trio.to_thread.run_sync, crossing.far.send, large)
        assert await read(crossing.near, len(large)) == large
    async with trio.open_nursery() as both:
        both.start_soon(trio.to_thread.run_sync, crossing.near.send, large)
        assert await read(crossing.far, len(large)) == large
    # A direction counts what it has written, a moment after the other end may have read it.
    await until(lambda: crossing.bridge.inward.moved == len(large) == crossing.bridge.outward.moved)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", [way for way in WAYS if way != "tls"])
async def test_an_end_is_passed_on_while_the_other_way_goes_on(way: str, nursery: trio.Nursery) -> None:
    crossing = await make(way)
    nursery.start_soon(crossing.bridge.run)
    crossing.near.finish()
    with trio.fail_after(10):
        assert await ended(crossing.far)
        crossing.far.send(b"last words")
        assert await read(crossing.near, 10) == b"last words"
        crossing.far.finish()
        assert await ended(crossing.near)
    assert crossing.endings == [Ending.NEAR_ENDED]
    crossing.near.close()
    crossing.far.close()


@pytest.mark.parametrize(
    ("who", "ending"), [("near", Ending.NEAR_ENDED), ("far", Ending.FAR_ENDED)], ids=["near", "far"]
)
async def test_who_ends_it_is_told(crossing: Crossing, who: str, ending: Ending) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crossing.bridge.run)
        one, other = (crossing.near, crossing.far) if who == "near" else (crossing.far, crossing.near)
        one.finish()
        assert await ended(other)
        other.close()
    assert crossing.endings == [ending]


@pytest.mark.parametrize(
    ("who", "ending"), [("near", Ending.NEAR_BROKE), ("far", Ending.FAR_BROKE)], ids=["near", "far"]
)
async def test_who_breaks_off_is_told(crossing: Crossing, who: str, ending: Ending) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crossing.bridge.run)
        await trio.testing.wait_all_tasks_blocked()
        one, other = (crossing.near, crossing.far) if who == "near" else (crossing.far, crossing.near)
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
        assert await ended(other)
    assert crossing.endings == [ending]


async def test_after_a_cut_nothing_passes_and_nobody_is_blamed(crossing: Crossing) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crossing.bridge.run)
        crossing.far.send(b"hello")
        assert await read(crossing.near, 5) == b"hello"
        crossing.bridge.cut()
        # A stale leader goes on sending, as if nothing were.
        with contextlib.suppress(OSError):
            crossing.far.send(b"late" * CHUNK)
        assert await ended(crossing.near)
    assert crossing.bridge.inward.moved == 5
    assert crossing.endings == []


async def test_a_cancelled_bridge_ends_although_nobody_reads(crossing: Crossing) -> None:
    def flood() -> None:
        try:
            while True:
                crossing.far.send(bytes(CHUNK))
        except OSError:
            pass

    async with trio.open_nursery() as outer:
        outer.start_soon(trio.to_thread.run_sync, flood)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crossing.bridge.run)
            await until(lambda: crossing.bridge.inward.moved > 0)
            nursery.cancel_scope.cancel()
    assert crossing.endings == []


def moved(crossing: Crossing, count: int) -> Callable[[], bool]:
    """Whether so many bytes went inward: a direction counts them a moment after they can be read."""
    return lambda: crossing.bridge.inward.moved == count


async def test_greetings_are_replaced_before_the_rest_passes_as_it_is(nursery: trio.Nursery) -> None:
    def instead(end: End) -> bytes:
        return b"<" + bytes(end.receive(2)) + b">"

    for way in ("tls", "copy", *(["splice"] if CAN_SPLICE else [])):
        crossing = await make(way, asks=instead, answers=instead)
        nursery.start_soon(crossing.bridge.run)
        with trio.fail_after(10):
            crossing.far.send(b"hello")
            assert await read(crossing.near, 7) == b"<he>llo"
            crossing.near.send(b"answer")
            assert await read(crossing.far, 8) == b"<an>swer"
        await until(moved(crossing, 7))
        crossing.near.close()
        crossing.far.close()


async def test_a_malformed_greeting_ends_it_and_passes_nothing(nursery: trio.Nursery) -> None:
    def refuse(end: End) -> bytes:
        end.receive()
        raise ValueError

    crossing = await make("copy", asks=refuse)
    nursery.start_soon(crossing.bridge.run)
    crossing.far.send(b"garbage")
    with trio.fail_after(10):
        assert await ended(crossing.near)
    assert crossing.endings == [Ending.MALFORMED]
    assert crossing.bridge.inward.moved == 0
    crossing.near.close()
    crossing.far.close()


async def test_where_splice_does_not_work_bytes_are_copied(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    def no_splice(*_: object) -> int:
        raise OSError(22, "EINVAL")

    monkeypatch.setattr(os, "splice", no_splice, raising=False)
    crossing = await make("splice")
    nursery.start_soon(crossing.bridge.run)
    crossing.far.send(b"hello")
    with trio.fail_after(10):
        assert await read(crossing.near, 5) == b"hello"
    crossing.near.close()
    crossing.far.close()


async def test_two_hundred_bridges_leave_no_thread_and_no_descriptor_behind() -> None:
    async def cross(one: Crossing) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.bridge.run)
            one.far.send(b"ping")
            assert await read(one.near, 4) == b"ping"
            one.near.close()
            assert await ended(one.far)
            one.far.close()

    async def so_many(times: int) -> tuple[int, int]:
        for _ in range(times):
            await cross(await make("splice" if CAN_SPLICE else "copy"))
            await cross(await make("tls"))
        me = psutil.Process()
        return me.num_fds(), me.num_threads()

    descriptors, threads = await so_many(5)
    more_descriptors, more_threads = await so_many(100)
    assert more_descriptors <= descriptors
    assert more_threads <= threads


async def test_a_bridge_that_waits_uses_two_threads_and_no_processor(crossing: Crossing) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crossing.bridge.run)
        crossing.far.send(b"hello")
        assert await read(crossing.near, 5) == b"hello"
        spent = sum(times.user_time + times.system_time for times in psutil.Process().threads())
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert sum(times.user_time + times.system_time for times in psutil.Process().threads()) - spent < 0.1
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(not CAN_SPLICE, reason="bytes stay in the kernel on Linux alone")
async def test_a_large_transfer_costs_little_memory_and_processor(nursery: trio.Nursery) -> None:
    crossing = await make("splice")
    nursery.start_soon(crossing.bridge.run)
    before = psutil.Process().memory_info().rss
    user = psutil.Process().cpu_times().user
    piece, times = bytes(1 << 20), 256

    def send() -> None:
        for _ in range(times):
            crossing.far.send(piece)

    def take() -> int:
        left = len(piece) * times
        while left:
            left -= len(crossing.near.receive(left))
        return psutil.Process().memory_info().rss

    async with trio.open_nursery() as both:
        both.start_soon(trio.to_thread.run_sync, send)
        after = await trio.to_thread.run_sync(take)
    assert after - before < 16 << 20
    # The test's own ends included; a loop that turned for nothing would take many times that.
    assert psutil.Process().cpu_times().user - user < 1.0
    crossing.near.close()
    crossing.far.close()


class Machine:
    """What TCP knows of a peer, as the bridge would read it."""

    def __init__(self) -> None:
        self.unanswered = False
        self.quiet = 0.0

    def look(self) -> tuple[bool, float]:
        return self.unanswered, self.quiet


class Failing(Plain):
    """Its calls fail as the system says."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        super().__init__(connection)
        self._number = number

    def receive(self, limit: int = 0) -> memoryview:
        raise OSError(self._number, "")

    def send(self, data: bytes | memoryview) -> None:
        raise OSError(self._number, "")


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        (errno.ECONNRESET, Ending.FAR_BROKE),
        (errno.EPIPE, Ending.FAR_BROKE),
        (errno.ETIMEDOUT, Ending.FAR_SILENT),
        (errno.EHOSTUNREACH, Ending.FAR_SILENT),
        (errno.EHOSTDOWN, Ending.FAR_SILENT),
    ],
)
@pytest.mark.parametrize("sends", [True, False], ids=["sends", "receives"])
async def test_a_far_end_that_tcp_gave_up_on_is_told_from_one_that_broke_off(
    number: int, ending: Ending, sends: bool
) -> None:
    (near, program), (far, machine) = tcp_pair(), tcp_pair()
    bridge = Bridge(Plain(near), Failing(far, number), splice=False)
    one = bridge.outward if sends else bridge.inward
    if sends:
        program.sendall(b"a word")
    outcome = await trio.to_thread.run_sync(one.run)
    assert module._ending(outcome, one.source is bridge._near) is ending
    for connection in (near, program, far, machine):
        connection.close()


def test_only_a_peer_that_acknowledges_nothing_for_long_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(module._Silence, "_look", lambda _: machine.look())
    here, there = tcp_pair()
    silence = module._Silence(here)
    machine.quiet = 60.0
    assert not silence.too_long(0), "it was idle"
    machine.unanswered = True
    assert not silence.too_long(1), "one packet was lost"
    assert not silence.too_long(3)
    machine.unanswered = False
    assert not silence.too_long(4), "it came through"
    machine.unanswered = True
    assert not silence.too_long(5)
    assert silence.too_long(10)
    machine.quiet = 0.2
    assert not silence.too_long(11), "it still answers, though it does not read"
    here.close()
    there.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads tcp_info")
async def test_a_peer_that_is_alive_and_does_not_read_is_waited_for() -> None:
    here, there = tcp_pair()
    module.watch_over(here)
    fill(here)
    assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    unanswered, quiet = module._Silence(here)._look()
    assert not unanswered
    assert quiet < 60
    here.close()
    there.close()

"""Blocking ends: the same bytes in the open and under TLS, ends told from breaks, and cuts that are felt."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from mesh.net.stream_ends import CHUNK, End, Plain, unwrap
from tests.mesh.net.blocking import TlsStream, fill, sealed_pair, tcp_pair, tls_pair

Pair = tuple[End, End]


@pytest.fixture(params=["plain", "sealed"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    ends: Pair
    if request.param == "plain":
        one, other = tcp_pair()
        ends = Plain(one), Plain(other)
    else:
        ends = await sealed_pair()
    with trio.fail_after(10):
        yield ends
    for end in ends:
        end.close()


def drain(end: End) -> bytes:
    """Everything until the end."""
    taken = bytearray()
    while data := end.receive():
        taken += data
    return bytes(taken)


async def test_small_and_large_messages_arrive_whole(pair: Pair) -> None:
    one, other = pair
    large = bytes(range(256)) * (5 * CHUNK // 256)

    def send() -> None:
        one.send(b"first")
        one.send(memoryview(large))
        one.finish()
        if not one.half_closes:
            one.cut()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, send)
        assert await trio.to_thread.run_sync(drain, other) == b"first" + large


async def test_both_ways_at_once(pair: Pair) -> None:
    size = 8 * CHUNK
    received: list[int] = []

    def send(end: End) -> None:
        for _ in range(size // 4096):
            end.send(bytes(4096))

    def receive(end: End) -> None:
        left = size
        while left:
            left -= len(end.receive(left))
        received.append(size)

    async with trio.open_nursery() as nursery:
        for end in pair:
            nursery.start_soon(trio.to_thread.run_sync, send, end)
            nursery.start_soon(trio.to_thread.run_sync, receive, end)
    assert received == [size, size]


async def test_no_more_is_given_than_was_asked_for(pair: Pair) -> None:
    one, other = pair
    one.send(b"hello")
    given = [bytes(await trio.to_thread.run_sync(other.receive, 2)) for _ in range(3)]
    assert b"".join(given) == b"hello"
    assert max(map(len, given)) == 2


async def test_a_cut_wakes_a_thread_that_waits_for_bytes(pair: Pair) -> None:
    one, _ = pair

    def wait() -> bytes:
        try:
            return bytes(one.receive())
        except OSError:
            return b""

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, wait)
        await trio.testing.wait_all_tasks_blocked()
        one.cut()


async def test_a_cut_wakes_a_thread_that_waits_for_room(pair: Pair) -> None:
    one, _ = pair
    stuck: list[bool] = []

    def flood() -> None:
        try:
            while True:
                one.send(bytes(CHUNK))
        except OSError:
            stuck.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, flood)
        await trio.testing.wait_all_tasks_blocked()
        one.cut()
    assert stuck == [True]


async def test_under_tls_an_end_without_a_goodbye_is_a_break() -> None:
    one, other = await sealed_pair()
    one.cut()
    with pytest.raises(ConnectionResetError):
        await trio.to_thread.run_sync(other.receive)
    one.close()
    other.close()


async def test_a_goodbye_does_not_wait_for_a_peer_that_does_not_read() -> None:
    one, other = await sealed_pair()
    fill(one.socket)
    with pytest.raises(BlockingIOError):
        one.finish()
    one.close()
    other.close()


async def test_what_was_read_along_with_the_end_of_tls_comes_first() -> None:
    here, there = tcp_pair()
    end = Plain(here, b"read already")
    there.sendall(b", and more")
    took = [(bytes(end.receive(limit)), end.pending) for limit in (5, 100)]
    assert took == [(b"read ", True), (b"already", False)]
    assert bytes(await trio.to_thread.run_sync(end.receive)) == b", and more"
    end.close()
    there.close()


async def test_both_ends_of_a_stream_can_go_on_without_tls() -> None:
    streams = await tls_pair()
    connections = [stream.transport_stream for stream in streams]
    ends: list[Plain] = []

    async def bare(stream: TlsStream) -> None:
        ends.append(await unwrap(stream))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(bare, stream)
        for one, other in (ends, reversed(ends)):
            one.send(b"in the open")
            assert bytes(await trio.to_thread.run_sync(other.receive)) == b"in the open"
        connections[0].socket.shutdown(trio.socket.SHUT_RDWR)
        assert bytes(await trio.to_thread.run_sync(ends[0].receive)) == b"", "the stream's owner can cut it"
    for end in ends:
        end.close()
    for connection in connections:
        connection.socket.close()

import contextlib

import msgpack
import pytest
import trio
import trio.testing

from mesh.net.session import Session, StreamClosed, StreamReset
from mesh.net.stream_ends import End
from mesh.net.streams import Handler
from mesh.wire.errors import DecodeError

from .conftest import Lan, members


async def opened(lan: Lan, handler: Handler) -> Session:
    """A stream to a member whose end ``handler`` has."""
    a, b = await lan.host({}), await lan.host({"test": handler})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    return await a.streams.open(b.id, [b.endpoint], "test")


async def test_raw_bytes_follow_the_preface_untouched(lan: Lan) -> None:
    async def reverse(session: Session) -> None:
        await session.stream.send_all((await session.stream.receive_some(100))[::-1])

    session = await opened(lan, reverse)
    await session.stream.send_all(b"abc")
    with trio.fail_after(5):
        assert await session.stream.receive_some(100) == b"cba"
    await session.aclose()


async def test_a_stream_that_the_handler_ends_is_closed_in_good_order(lan: Lan) -> None:
    async def say_hello(session: Session) -> None:
        await session.send_message("hello")

    session = await opened(lan, say_hello)
    with trio.fail_after(5):
        assert await session.receive_message() == "hello"
        with pytest.raises(StreamClosed):
            await session.receive_message()
    await session.aclose()


async def test_a_peer_that_dies_is_a_reset_not_a_goodbye(lan: Lan) -> None:
    async def die(session: Session) -> None:
        session.stream.transport_stream.socket.close()

    session = await opened(lan, die)
    with trio.fail_after(5), pytest.raises(StreamReset):
        await session.receive_message()
    await session.aclose()


async def test_a_message_longer_than_the_limit_is_refused_before_it_is_read(lan: Lan) -> None:
    async def send_much(session: Session) -> None:
        await session.send_message(bytes(5000))

    session = await opened(lan, send_much)
    with trio.fail_after(5), pytest.raises(DecodeError):
        await session.receive_message(limit=4096)
    await session.aclose()


async def test_a_message_that_is_no_msgpack_is_refused(lan: Lan) -> None:
    async def send_nonsense(session: Session) -> None:
        await session.stream.send_all(b"\0\0\0\1\xc1")

    session = await opened(lan, send_nonsense)
    with trio.fail_after(5), pytest.raises(DecodeError):
        await session.receive_message()
    await session.aclose()


async def test_a_message_that_ends_in_the_middle_is_a_reset(lan: Lan) -> None:
    async def send_half(session: Session) -> None:
        body = msgpack.packb("never complete")
        await session.stream.send_all(len(body).to_bytes(4, "big") + body[:3])

    session = await opened(lan, send_half)
    with trio.fail_after(5), pytest.raises(StreamReset):
        await session.receive_message()
    await session.aclose()


async def test_closing_twice_and_after_a_cut_is_harmless(lan: Lan) -> None:
    async def wait(session: Session) -> None:
        await trio.sleep_forever()

    session = await opened(lan, wait)
    session.cut()
    await session.aclose()
    await session.aclose()
    with pytest.raises(StreamClosed):
        await session.send_message("too late")


async def test_a_peer_that_does_not_read_holds_up_nobody_who_closes(lan: Lan) -> None:
    async def wait(session: Session) -> None:
        await trio.sleep_forever()

    session = await opened(lan, wait)
    with trio.move_on_after(0.2):
        while True:
            await session.stream.send_all(bytes(1 << 20))
    with trio.fail_after(5):
        await session.aclose()


async def test_a_cut_ends_what_threads_have_taken_over(lan: Lan) -> None:
    for way in ("sealed", "unwrap"):
        theirs: list[End] = []

        async def take(session: Session, way: str = way, theirs: list[End] = theirs) -> None:
            theirs.append(session.sealed() if way == "sealed" else await session.unwrap())
            await trio.sleep_forever()

        session = await opened(lan, take)
        end: End = session.sealed() if way == "sealed" else await session.unwrap()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, _waits, end)
                await trio.testing.wait_all_tasks_blocked()
                session.cut()
        end.close()
        for other in theirs:
            other.close()


def _waits(end: End) -> None:
    with contextlib.suppress(OSError):
        assert not end.receive()

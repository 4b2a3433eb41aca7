"""Bytes both ways until one side has had enough."""

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from tests.lab.relay import relay

End = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


async def relayed(nursery: trio.Nursery) -> tuple[End, End, trio.Event]:
    """The far ends of two streams with the relay between them, and when it has ended."""
    left, near_left = memory_stream_pair()
    right, near_right = memory_stream_pair()
    ended = trio.Event()

    async def run() -> None:
        await relay(near_left, near_right)
        ended.set()

    nursery.start_soon(run)
    return left, right, ended


async def test_bytes_pass_both_ways_at_once(nursery: trio.Nursery) -> None:
    left, right, _ = await relayed(nursery)
    await left.send_all(b"question")
    await right.send_all(b"answer")
    with trio.fail_after(5):
        assert await right.receive_some(100) == b"question"
        assert await left.receive_some(100) == b"answer"
    await left.aclose()


@pytest.mark.parametrize("side", [0, 1])
async def test_an_end_on_either_side_closes_the_other(nursery: trio.Nursery, side: int) -> None:
    left, right, ended = await relayed(nursery)
    one, other = (left, right) if side == 0 else (right, left)
    await one.send_all(b"last words")
    await one.aclose()
    with trio.fail_after(5):
        assert await other.receive_some(100) == b"last words"
        assert await other.receive_some(100) == b""
        await ended.wait()


async def test_a_side_that_breaks_closes_the_other(nursery: trio.Nursery) -> None:
    left, right, ended = await relayed(nursery)
    right.send_stream.close()
    right.receive_stream.close()
    await left.send_all(b"to nobody")
    with trio.fail_after(5):
        await ended.wait()
        assert await left.receive_some(100) == b""

"""Streams that are played from bytes: they never wait, and end where the bytes do."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgpack
import trio

T = TypeVar("T")


class Tape(trio.abc.HalfCloseableStream):
    """Gives ``data`` in pieces of at most ``piece`` bytes; keeps what is sent to it."""

    def __init__(self, data: bytes, piece: int = 65536) -> None:
        self._data = data
        self._piece = max(piece, 1)
        self.sent = bytearray()
        self.socket = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        size = self._piece if max_bytes is None else min(max_bytes, self._piece)
        part, self._data = self._data[:size], self._data[size:]
        return part

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        """It never does."""

    async def send_eof(self) -> None:
        """Nobody waits for it."""

    async def aclose(self) -> None:
        """There is nothing to give back."""


def run_through(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits, without an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something that is no tape")


def loose(data: bytes) -> Any:
    """The msgpack value that ``data`` begins with; None where it begins with none."""
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 20, strict_map_key=False)
    unpacker.feed(data)
    try:
        return unpacker.unpack()
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return None


def framed(*messages: Any) -> bytes:
    """Messages as they go over a stream between nodes."""
    return b"".join(map(in_frame, map(msgpack.packb, messages)))


def in_frame(body: bytes) -> bytes:
    """Any bytes in the place of a message: what a fuzzer changes should not first have to fit its length."""
    return len(body).to_bytes(4, "big") + body


def swollen(data: bytes, times: int, most: int) -> bytes:
    """``data`` with a part of it many times over, as far as ``most`` bytes go: large inputs from small ones.

    The lists inside of an array are the part, so that their lengths stay true; of other bytes what follows
    the first five, the room of two headers.
    """
    value = loose(data)
    if isinstance(value, list) and any(isinstance(item, list) and item for item in value):
        times = max(1, min(times, most // max(len(data), 1)))
        return bytes(msgpack.packb([item * times if isinstance(item, list) else item for item in value]))[
            :most
        ]
    return (data[:5] + data[5:] * times)[:most]

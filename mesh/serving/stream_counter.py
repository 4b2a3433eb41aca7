"""Counting the answers that a llama-server is giving: the streams to it that are open, one for each."""

from collections.abc import Callable

import trio


class Answers:
    """``count`` of them are open; ``on_last`` is called when the last one ends."""

    def __init__(self, on_last: Callable[[], None]) -> None:
        self.count = 0
        self._on_last = on_last

    def track(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """The same stream, which counts until it is closed."""
        self.count += 1
        return _Counted(stream, self._closed)

    def _closed(self) -> None:
        self.count -= 1
        if not self.count:
            self._on_last()


class _Counted(trio.abc.Stream):
    def __init__(self, stream: trio.abc.Stream, on_close: Callable[[], None]) -> None:
        self._stream = stream
        self._on_close: Callable[[], None] | None = on_close

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()
        await self._stream.aclose()

"""Counts the answers that a llama-server is giving: one open stream to it for each."""

from collections.abc import Callable

import trio

from mesh.net.wrapped_stream import WrappedStream


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


class _Counted(WrappedStream):
    def __init__(self, stream: trio.abc.Stream, on_close: Callable[[], None]) -> None:
        super().__init__(stream)
        self._on_close: Callable[[], None] | None = on_close

    async def aclose(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()
        await super().aclose()

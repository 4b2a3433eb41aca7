"""A use of llama-server that is over only when llama-server says so.

A whole answer says it. A client that hangs up before is no sign that its request is over: it may even begin
later, and leave its conversation in a slot that has been handed on meanwhile. So the connection is only half
closed then, until llama-server closes it too. It does that when the request is over, or as soon as it looks;
where the answer is not streamed that may be its end.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import trio

from leader.llama.local_http import Connect
from mesh.net.wrapped_stream import WrappedStream


class EngineUse:
    """Open connections by `connect`, one for a request, and close them. Then ``end``."""

    def __init__(self, connect: Connect, nursery: trio.Nursery, on_over: Callable[[], None]) -> None:
        """``on_over`` is called when llama-server is done with all that was asked, and nothing follows."""
        self._connect = connect
        self._nursery = nursery
        self._on_over = on_over
        self._pending = 1  # connections, and this use itself until it ends
        self._ended = False
        self._streams: set[_HalfClosedFirst] = set()
        self.has_asked = False
        """Whether a connection was made."""
        self.over = trio.Event()

    async def connect(self) -> trio.abc.Stream:
        """A connection to llama-server. Raises OSError while it does not listen."""
        if self._ended:
            raise trio.ClosedResourceError("the turn is over")
        self.more()
        try:
            stream = await self._connect()
        except BaseException:
            self.done()
            raise
        self.has_asked = True
        wrapped = _HalfClosedFirst(stream, self._closed)
        self._streams.add(wrapped)
        return wrapped

    def answered(self) -> None:
        """The answers on all open connections are whole."""
        for stream in self._streams:
            stream.is_whole = True

    def end(self) -> None:
        """Nothing more will be asked."""
        if not self._ended:
            self._ended = True
            self.done()

    def more(self) -> None:
        """Something else is pending, until `done`."""
        self._pending += 1

    def done(self) -> None:
        """One that was pending is over."""
        self._pending -= 1
        if not self._pending:
            self.over.set()
            self._on_over()

    async def _closed(self, stream: "_HalfClosedFirst") -> None:
        self._streams.discard(stream)
        if stream.is_whole or self.over.is_set():  # the latter: llama-server has ended, the nursery too
            self.done()
            await trio.aclose_forcefully(stream.inside)
        else:
            self._nursery.start_soon(self._wait_for_end, stream)

    async def _wait_for_end(self, stream: "_HalfClosedFirst") -> None:
        """No time ends this: a llama-server that is stuck is its watchdog's."""
        try:
            await stream.unused.wait()
            with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.inside.send_eof()
                async for _ in stream.inside:
                    pass
        finally:
            await trio.aclose_forcefully(stream.inside)
            self.done()


class _HalfClosedFirst(WrappedStream):
    """``aclose`` only calls ``on_close``, and ends what other tasks do with it: then it is ``unused``."""

    def __init__(
        self, stream: trio.SocketStream, on_close: Callable[["_HalfClosedFirst"], Awaitable[None]]
    ) -> None:
        super().__init__(stream)
        self.inside = stream
        self.is_whole = False
        self.unused = trio.Event()
        self._on_close = on_close
        self._in_use: set[trio.CancelScope] = set()
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._use():
            await super().send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        with self._use():
            await super().wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        with self._use():
            return await super().receive_some(max_bytes)
        raise trio.ClosedResourceError

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            for scope in self._in_use:
                scope.cancel()
            self._settle()
            await self._on_close(self)
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _use(self) -> Iterator[None]:
        """As of a real stream, closing it ends what another task does with it."""
        if self._closed:
            raise trio.ClosedResourceError
        scope = trio.CancelScope()
        self._in_use.add(scope)
        try:
            with scope:
                yield
        finally:
            self._in_use.discard(scope)
            self._settle()
        if scope.cancelled_caught:
            raise trio.ClosedResourceError

    def _settle(self) -> None:
        if self._closed and not self._in_use:
            self.unused.set()

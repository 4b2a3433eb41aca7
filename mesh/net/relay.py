"""Copies bytes between two streams, both ways, until either side ends."""

import trio

from mesh.net.session import Session
from mesh.net.wrapped_stream import WrappedStream

CHUNK = 64 * 1024


class SessionStream(WrappedStream):
    """A session as a plain stream whose closing closes the session."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.stream)
        self._session = session

    async def aclose(self) -> None:
        await self._session.aclose()


async def relay(one: trio.abc.Stream, other: trio.abc.Stream) -> None:
    """Copy both ways; when either direction ends, or breaks, both streams are closed."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_copy, one, other, nursery.cancel_scope)
        nursery.start_soon(_copy, other, one, nursery.cancel_scope)
    await trio.aclose_forcefully(one)
    await trio.aclose_forcefully(other)


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream, both: trio.CancelScope) -> None:
    try:
        while data := await source.receive_some(CHUNK):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    both.cancel()

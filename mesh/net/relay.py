"""Bytes from one stream to another, both ways, until either side has had enough."""

import trio

from mesh.net.session import Session

CHUNK = 64 * 1024


class SessionStream(trio.abc.Stream):
    """A session as a plain stream whose closing closes the session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._session.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._session.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._session.stream.receive_some(max_bytes)

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

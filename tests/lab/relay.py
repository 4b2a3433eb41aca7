"""Copies bytes between two streams, both ways, until either side ends."""

import trio

CHUNK = 64 * 1024


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

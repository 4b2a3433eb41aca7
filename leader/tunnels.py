"""The leader's end of the tunnels: llama-server connects to loopback, the bytes go to a worker's gate and
back.

Each worker has a listener on a free port of 127.0.0.1. Each connection to it (llama-server makes several
short ones before the one it keeps) opens a session of its own, by a function that is handed in. A direction
that ends is half-closed where the stream can; a TLS stream cannot, so there the end of one direction ends
both.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

import trio

from mesh.wire.errors import MeshError

CHUNK: Final = 256 * 1024
MAX_CONNECTIONS: Final = 16  # to one worker at a time
LINGER: Final = 5.0  # seconds that one direction may go on after the other ended


class Session(Protocol):
    """A proven stream to a member."""

    @property
    def stream(self) -> trio.abc.Stream: ...

    async def aclose(self) -> None: ...


Opener = Callable[[bytes], Awaitable[Session]]
ResetHandler = Callable[[bytes, str], None]


class Tunnels:
    """``endpoints`` has each worker's ``host:port`` for llama-server.

    ``sent`` and ``received`` count bytes of all.
    """

    def __init__(self, opener: Opener, on_reset: ResetHandler) -> None:
        self.endpoints: dict[bytes, str] = {}
        self.sent = 0
        self.received = 0
        self._open = opener
        self._on_reset = on_reset

    async def _listen(self, nursery: trio.Nursery, worker: bytes) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.endpoints[worker] = "{}:{}".format(*listener.socket.getsockname())
        limiter = trio.CapacityLimiter(MAX_CONNECTIONS)
        nursery.start_soon(partial(trio.serve_listeners, partial(self._serve, worker, limiter), [listener]))

    async def _serve(self, worker: bytes, limiter: trio.CapacityLimiter, local: trio.SocketStream) -> None:
        async with limiter, local:
            try:
                session = await self._open(worker)
            except (MeshError, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
                self._on_reset(worker, f"no tunnel: {error}")
                return
            try:
                await self._join(worker, local, session.stream)
            finally:
                with trio.move_on_after(LINGER) as scope:
                    scope.shield = True
                    await session.aclose()

    async def _join(self, worker: bytes, local: trio.SocketStream, remote: trio.abc.Stream) -> None:
        """Copy both ways until both directions have ended, or one is broken."""
        local_ended = False
        async with trio.open_nursery() as nursery:

            async def up() -> None:
                nonlocal local_ended
                try:
                    await _copy(local, remote, self._count_sent)
                except (_SourceBroken, trio.ClosedResourceError):
                    pass  # llama-server died or let go: no fault of the worker's
                except trio.BrokenResourceError:
                    self._on_reset(worker, "the tunnel was reset")
                    nursery.cancel_scope.cancel()
                    return
                local_ended = True
                await self._end(remote, nursery)

            async def down() -> None:
                try:
                    await _copy(remote, local, self._count_received)
                except _SourceBroken:
                    if not local_ended:
                        self._on_reset(worker, "the tunnel was reset")
                    nursery.cancel_scope.cancel()
                    return
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    nursery.cancel_scope.cancel()
                    return
                if not local_ended:
                    self._on_reset(worker, "the worker closed the tunnel")
                await self._end(local, nursery)

            nursery.start_soon(up)
            nursery.start_soon(down)

    async def _end(self, stream: trio.abc.Stream, nursery: trio.Nursery) -> None:
        """Pass an end on; the other direction has a little longer, or no longer at all."""
        if isinstance(stream, trio.abc.HalfCloseableStream):
            try:
                await stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                nursery.cancel_scope.cancel()
            else:
                nursery.cancel_scope.deadline = min(
                    nursery.cancel_scope.deadline, trio.current_time() + LINGER
                )
        else:
            nursery.cancel_scope.cancel()

    def _count_sent(self, length: int) -> None:
        self.sent += length

    def _count_received(self, length: int) -> None:
        self.received += length


class _SourceBroken(Exception):
    """The side that was read from is broken, as opposed to the side that was written to."""


async def _copy(
    source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, count: Callable[[int], None]
) -> None:
    while True:
        try:
            chunk = await source.receive_some(CHUNK)
        except trio.BrokenResourceError as error:
            raise _SourceBroken from error
        if not chunk:
            return
        await sink.send_all(chunk)
        count(len(chunk))


class GatedSession(Session, Protocol):
    """A session whose first message is the worker's gate speaking."""

    async def receive_message(self, limit: int = ..., /) -> object: ...


class TunnelRefused(MeshError):
    """The worker's gate does not let this leader in."""


async def pass_gate(session: GatedSession) -> None:
    """Wait for the gate's word; afterwards the stream is rpc-server's own. Raises TunnelRefused with its
    reason.

    The caller limits the wait and closes the session on an error.
    """
    answer = await session.receive_message(4096)
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        reason = answer.get("reason") if isinstance(answer, dict) else None
        raise TunnelRefused(f"the worker's gate refused: {reason or 'no reason given'}")


@asynccontextmanager
async def open_tunnels(
    workers: Iterable[bytes], opener: Opener, on_reset: ResetHandler = lambda worker, reason: None
) -> AsyncIterator[Tunnels]:
    """Tunnels to ``workers`` for as long as the context lasts.

    ``opener`` opens a session to a worker's rpc-server, within a limit of its own; ``on_reset`` is told, with
    a reason, when a tunnel could not be opened or was ended by anyone but llama-server.
    """
    tunnels = Tunnels(opener, on_reset)
    async with trio.open_nursery() as nursery:
        for worker in workers:
            await tunnels._listen(nursery, worker)
        try:
            yield tunnels
        finally:
            nursery.cancel_scope.cancel()

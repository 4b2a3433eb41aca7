"""One open stream between two nodes: its peer, its purpose, and messages over it."""

import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack
import trio

from mesh.net.addresses import endpoint_of
from mesh.net.stream_ends import Plain, Sealed, unwrap
from mesh.wire import codec
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId

MESSAGE_LIMIT = 64 * 1024
"""Bytes of one message, unless the receiver sets another limit."""

CLOSE_SECONDS = 0.5

_LENGTH = struct.Struct(">I")

TlsStream = trio.SSLStream[trio.SocketStream]


class StreamError(MeshError):
    """A stream could not be opened, or it ended."""


class Unreachable(StreamError):
    """No address answered in time."""


class NobodyListens(Unreachable):
    """The machine answered that no process listens on that port."""


class WrongPeer(StreamError):
    """The node that answered is not the wanted one."""


class StreamRefused(StreamError):
    """The peer answered and refused; ``code`` says why in a word."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.peer: NodeId | None = None
        """Who refused, as TLS proved it; None when this end refused itself, or nothing was proved."""


class StreamClosed(StreamError):
    """The peer or this end closed the stream in good order."""


class StreamReset(StreamError):
    """The stream broke off without the peer's goodbye: its process died, or the network between."""


@dataclass(slots=True, eq=False)
class Session:
    """An accepted stream of one ``kind``: bytes by ``stream``, or messages by the methods; one task each way.

    TLS has proved ``peer`` and ``peer_key``. Both are None on the server's side of a stream that a node
    opened which is no member (and shows no certificate).
    """

    stream: TlsStream
    peer: NodeId | None
    peer_key: bytes | None
    remote: Endpoint
    local: Endpoint
    kind: str
    arguments: dict[str, Any]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    on_close: Callable[["Session"], None] = lambda session: None
    _connection: trio.SocketStream = field(init=False)
    _detached: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._connection = self.stream.transport_stream

    async def send_message(self, message: Any) -> None:
        """Send one message of msgpack's types. Raises :class:`StreamReset` or :class:`StreamClosed`."""
        await send_message(self.stream, message)

    async def receive_message(self, limit: int = MESSAGE_LIMIT) -> Any:
        """The next message. Raises :class:`StreamClosed`, :class:`StreamReset`, or DecodeError if it is
        longer than ``limit`` bytes, not msgpack, or nested too deep.
        """
        return await receive_message(self.stream, limit)

    async def unwrap(self) -> Plain:
        """Go on without TLS; both peers must call this. The peer stays proved.

        From then on the returned end alone may use the bytes; the session still closes and cuts the
        connection.
        """
        self._detached = True
        try:
            return await unwrap(self.stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _broken(error) from error

    def sealed(self) -> Sealed:
        """Go on with TLS in threads; as with ``unwrap``, the returned end alone may use the bytes."""
        self._detached = True
        return Sealed(self.stream)

    async def aclose(self) -> None:
        """Say goodbye and close, without waiting for a peer that does not listen."""
        self.on_close(self)
        if not self._detached:
            with (
                trio.move_on_after(CLOSE_SECONDS, shield=True),
                contextlib.suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError),
            ):
                await self.stream.aclose()
        self._connection.socket.close()

    def cut(self) -> None:
        """End it at once, whatever runs: both ends' tasks get an error, this end's handler is cancelled."""
        self.on_close(self)
        # Closing it here does not stop a thread that shares the connection.
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)
        self._connection.socket.close()
        self.scope.cancel()


async def send_message(stream: TlsStream, message: Any) -> None:
    """Frame and send one message."""
    body = msgpack.packb(message)
    try:
        await stream.send_all(_LENGTH.pack(len(body)) + body)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise _broken(error) from error


async def receive_message(stream: TlsStream, limit: int) -> Any:
    """Read exactly one framed message of at most ``limit`` bytes, and no byte behind it."""
    (length,) = _LENGTH.unpack(await _receive_exactly(stream, _LENGTH.size, at_boundary=True))
    if length > limit:
        raise DecodeError(f"a message of {length} bytes came where at most {limit} are allowed")
    return codec.unpack_loose(await _receive_exactly(stream, length, at_boundary=False))


async def _receive_exactly(stream: TlsStream, count: int, *, at_boundary: bool) -> bytes:
    received = bytearray()
    while len(received) < count:
        try:
            part = await stream.receive_some(count - len(received))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _broken(error) from error
        if not part:
            if at_boundary and not received:
                raise StreamClosed("the peer closed the stream")
            raise StreamReset("the stream ended inside a message")
        received += part
    return bytes(received)


def _broken(error: Exception) -> StreamError:
    if isinstance(error, trio.ClosedResourceError):
        return StreamClosed("this end closed the stream")
    cause = error.__cause__
    return StreamReset(f"the stream broke off{f': {cause}' if cause else ''}")


def tune(one: trio.socket.SocketType) -> None:
    """Send small writes at once, and notice within 30 s a peer that vanished without a word."""
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has another name for the first.
    for name, value in (
        ("TCP_KEEPIDLE", 15),
        ("TCP_KEEPALIVE", 15),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            one.setsockopt(socket.IPPROTO_TCP, option, value)
    if sys.platform == "linux":
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)


def ends(stream: trio.SocketStream) -> tuple[Endpoint, Endpoint]:
    """(local, remote) of a connected stream. OSError if it has broken off already."""
    return endpoint_of(stream.socket.getsockname()), endpoint_of(stream.socket.getpeername())

"""The two ends of a bridge: sockets that threads block on, in the open or under TLS.

An event loop costs a wake-up, a task switch and two copies for every small message, and llama.cpp sends
dozens of these a token. So bulk bytes leave the loop: each direction has a thread that only waits in the
kernel. TLS stays as trio's stream negotiated it: its state machine continues here, fed by blocking calls.
"""

import contextlib
import os
import socket
import ssl
import threading
from typing import Final, Protocol

import trio

CHUNK: Final = 256 * 1024
"""Bytes read at a time."""

_RECORD: Final = 16 * 1024  # the most that one TLS record holds
_BOTH: Final = socket.SHUT_RDWR


class End(Protocol):
    """One side of a bridge; one thread receives while another one sends."""

    socket: socket.socket
    half_closes: bool
    """Whether ``finish`` leaves the other direction open."""

    def receive(self, limit: int = CHUNK) -> memoryview:
        """At least one byte and at most ``limit``, valid until the next call.

        Empty when the peer ended in good order. Raises OSError when it broke off.
        """

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it; OSError when that is impossible."""

    def finish(self) -> None:
        """Announce the end of this direction, from the thread that sends or after it. Does not block.

        Raises OSError when the end is broken already.
        """

    def cut(self) -> None:
        """End both directions now: blocked calls in this end return. From any thread, at any time."""

    def close(self) -> None:
        """Free the descriptor, once no thread uses it."""


class Plain:
    """An end without encryption."""

    half_closes = True

    def __init__(self, connection: socket.socket, pending: bytes = b"") -> None:
        """Takes over ``connection``; ``pending`` was read from it already."""
        connection.setblocking(True)
        self.socket = connection
        self._pending = pending
        self._buffer = memoryview(b"")

    @classmethod
    def take(cls, stream: trio.SocketStream) -> "Plain":
        """Take the connection of ``stream``, and close ``stream``."""
        try:
            return cls(_share(stream))
        finally:
            stream.socket.close()

    @property
    def pending(self) -> bool:
        """Whether it holds bytes that were already read from the socket."""
        return bool(self._pending)

    def receive(self, limit: int = CHUNK) -> memoryview:
        if self._pending:
            given, self._pending = self._pending[:limit], self._pending[limit:]
            return memoryview(given)
        if not self._buffer:
            self._buffer = memoryview(bytearray(CHUNK))
        return self._buffer[: self.socket.recv_into(self._buffer[:limit])]

    def send(self, data: bytes | memoryview) -> None:
        self.socket.sendall(data)

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        _cut(self.socket)

    def close(self) -> None:
        self.socket.close()


class Sealed:
    """An end under TLS: the state that trio's stream negotiated, moved by blocking calls.

    OpenSSL lets one thread at a time into a connection. So a lock is held while bytes are encrypted or
    decrypted, never while a thread waits for the network.
    """

    half_closes = False

    def __init__(self, stream: "trio.SSLStream[trio.SocketStream]") -> None:
        """Shares the stream's connection; the stream may only be closed afterwards."""
        self.socket = _share(stream.transport_stream)
        self.socket.setblocking(True)
        # trio offers no other access to what it has negotiated.
        self._tls: ssl.SSLObject = stream._ssl_object
        self._arrived: ssl.MemoryBIO = stream._incoming
        self._leaving: ssl.MemoryBIO = stream._outgoing
        self._turn = threading.Lock()
        self._raw = memoryview(bytearray(CHUNK))
        self._clear = memoryview(bytearray(CHUNK + 2 * _RECORD))
        self._ready = self._clear[:0]
        self._ended = False

    def receive(self, limit: int = CHUNK) -> memoryview:
        while not self._ready and not self._ended:
            self._decrypt()
            if not self._ready and not self._ended:
                count = self.socket.recv_into(self._raw)
                if not count:
                    raise ConnectionResetError("the stream ended without a goodbye")
                with self._turn:
                    self._arrived.write(self._raw[:count])
        given, self._ready = self._ready[:limit], self._ready[limit:]
        return given

    def _decrypt(self) -> None:
        """Decrypt what has arrived, as much as there is room for."""
        length = 0
        with self._turn, contextlib.suppress(ssl.SSLWantReadError):
            while length + _RECORD <= len(self._clear):
                count = self._tls.read(_RECORD, self._clear[length:])
                if not count:
                    self._ended = True
                    break
                length += int(count)
        self._ready = self._clear[:length]

    def send(self, data: bytes | memoryview) -> None:
        with self._turn:
            self._tls.write(data)
            sealed = self._leaving.read()
        self.socket.sendall(sealed)

    def finish(self) -> None:
        """Say goodbye, without waiting for room: a peer that reads nothing does not hear it."""
        with self._turn, contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self.socket.send(self._leaving.read(), socket.MSG_DONTWAIT)

    def cut(self) -> None:
        _cut(self.socket)

    def close(self) -> None:
        self.socket.close()


async def unwrap(stream: "trio.SSLStream[trio.SocketStream]") -> Plain:
    """End TLS on a connection that both ends continue to use without it; both must call this.

    The caller still closes the stream's own socket.
    """
    connection = stream.transport_stream
    _, trailing = await stream.unwrap()
    return Plain(_share(connection), bytes(trailing))


def _share(stream: trio.SocketStream) -> socket.socket:
    return socket.socket(fileno=os.dup(stream.socket.fileno()))


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(_BOTH)

"""Sockets for tests of what moves bytes in threads: pairs over real TCP, and TLS on them."""

import contextlib
import socket
import ssl

import trio

from mesh.net.stream_ends import Sealed
from mesh.net.tls import ClientContexts, Credentials, ServerTrust
from mesh.wire.identity import Identity


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one connection over loopback, both blocking, without Nagle's delay."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def fill(connection: socket.socket) -> None:
    """Send until there is no room, as to a peer that does not read."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while connection.send(bytes(1 << 20)):
            pass
    connection.setblocking(True)


TlsStream = trio.SSLStream[trio.SocketStream]


async def tls_pair() -> tuple[TlsStream, TlsStream]:
    """Two members' ends of a stream, hands shaken; the client's first."""
    anna, bert = Identity.generate(), Identity.generate()
    trust = ServerTrust(Credentials(bert))
    trust.update({anna.id: anna.public_key})
    contexts: list[tuple[ssl.SSLContext, bool]] = [
        (ClientContexts(Credentials(anna)).to(bert.public_key), False),
        (trust.context(), True),
    ]
    streams = [
        trio.SSLStream(trio.SocketStream(trio.socket.from_stdlib_socket(one)), context, server_side=server)
        for one, (context, server) in zip(tcp_pair(), contexts, strict=True)
    ]
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(stream.do_handshake)
    return streams[0], streams[1]


async def sealed_pair() -> tuple[Sealed, Sealed]:
    """The same, given over to threads; their connections are closed with them."""
    ends = []
    for stream in await tls_pair():
        ends.append(Sealed(stream))
        stream.transport_stream.socket.close()
    return ends[0], ends[1]

"""Connecting to a node that has several addresses: happy eyeballs (RFC 8305), with TLS as part of the race.

Private addresses are not unique: the machine that answers first may not be the wanted one. So an address has
won only when TLS has proved which node is there.
"""

import errno
import os
import socket
import ssl
from collections.abc import Sequence

import trio

from mesh.net.addresses import family_of, socket_address
from mesh.net.session import NobodyListens, StreamError, TlsStream, Unreachable, WrongPeer, tune
from mesh.net.tls import ALPN, proven_key
from mesh.wire.endpoint import Endpoint

STAGGER_SECONDS = 0.25
RUNNING = "is mesh running there, on that port?"
MAX_ENDPOINTS = 8


async def connect_first(
    endpoints: Sequence[Endpoint],
    context: ssl.SSLContext,
    expected: bytes | None,
    source_hosts: Sequence[str] = (),
) -> TlsStream:
    """A stream to the first of ``endpoints`` where the holder of the key ``expected`` answers; None: any.

    It tries them in order, each 250 ms after the one before or as soon as that failed. Raises the most
    telling failure: :class:`WrongPeer` rather than :class:`Unreachable`.
    """
    failures: list[StreamError] = []
    won: list[TlsStream] = []

    async def attempt(endpoint: Endpoint, failed: trio.Event) -> None:
        try:
            stream = await _connect(endpoint, context, expected, source_hosts)
        except StreamError as error:
            failures.append(error)
            failed.set()
            return
        if won:
            stream.transport_stream.socket.close()
        else:
            won.append(stream)
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for endpoint in endpoints[:MAX_ENDPOINTS]:
                failed = trio.Event()
                nursery.start_soon(attempt, endpoint, failed)
                with trio.move_on_after(STAGGER_SECONDS):
                    await failed.wait()
    except BaseException:
        for stream in won:
            stream.transport_stream.socket.close()
        raise
    if won:
        return won[0]
    for failure in failures:
        if isinstance(failure, WrongPeer):
            raise failure
    raise failures[0] if failures else Unreachable("no address of that node is known")


async def _connect(
    endpoint: Endpoint, context: ssl.SSLContext, expected: bytes | None, source_hosts: Sequence[str]
) -> TlsStream:
    resolved = socket_address(endpoint)
    if resolved is None:
        raise Unreachable(f"{endpoint} is no address that this machine can reach")
    family, address = resolved
    one = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await _bind_source(one, family, source_hosts)
        await one.connect(address)
        tune(one)
        stream: TlsStream = trio.SSLStream(trio.SocketStream(one), context, server_hostname=None)
        await stream.do_handshake()
        if stream.selected_alpn_protocol() != ALPN:
            raise WrongPeer(f"what listens at {endpoint} is no mesh node of a version that this one speaks")
        if expected is not None and proven_key(stream.getpeercert(True)) != expected:
            raise WrongPeer(f"another node answers at {endpoint}")
    except OSError as error:
        one.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.ECONNREFUSED:
            raise NobodyListens(f"{endpoint} does not answer: {reason.lower()}", RUNNING) from error
        raise Unreachable(f"{endpoint} does not answer: {reason.lower()}") from error
    except trio.BrokenResourceError as error:
        one.close()
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise WrongPeer(f"another node answers at {endpoint}") from error
        raise Unreachable(f"{endpoint} does not complete a TLS handshake: is that a mesh node?") from error
    except BaseException:
        one.close()
        raise
    return stream


async def _bind_source(
    one: trio.socket.SocketType, family: socket.AddressFamily, source_hosts: Sequence[str]
) -> None:
    for host in source_hosts:
        if family_of(host) == family and host not in ("0.0.0.0", "::"):
            resolved = socket_address(Endpoint(host, 1))
            if resolved is not None:
                await one.bind((resolved[1][0], 0, *resolved[1][2:]))
            return

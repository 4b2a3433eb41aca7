"""The mesh's one port: the same number for UDP and TCP, on every address that a node is bound to."""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from mesh.net.addresses import family_of, socket_address
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError

EVERY_ADDRESS = ("0.0.0.0", "::")
"""The hosts to bind when none is named; a machine without one of the two families binds the other alone."""

BACKLOG = 256
DATAGRAM_BUFFER = 1 << 20
"""Bytes asked for each UDP socket's buffers; the system may give less."""

_TRIES = 32
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class PortTaken(MeshError):
    """Another program holds the port."""


class CannotBind(MeshError):
    """An address that is not this machine's, or a port that this user may not take."""


@dataclass(frozen=True, slots=True)
class BoundPort:
    """Open sockets that share one port number; their user closes them."""

    port: int
    udp: tuple[socket.socket, ...]
    tcp: tuple[trio.SocketListener, ...]

    def close(self) -> None:
        """Close all of them, inside trio; harmless for those that are closed already."""
        for udp in self.udp:
            udp.close()
        for listener in self.tcp:
            listener.socket.close()


def bind_port(hosts: Sequence[str] = EVERY_ADDRESS, port: int = 0) -> BoundPort:
    """Bind UDP and TCP on each of ``hosts`` (numeric) to one port number; 0 picks one that is free for all.

    Must run inside trio. Raises :class:`PortTaken` or :class:`CannotBind`.
    """
    optional = tuple(hosts) == EVERY_ADDRESS
    for _ in range(1 if port else _TRIES):
        opened: list[socket.socket] = []
        try:
            return _bind_all(hosts, port, optional, opened)
        except OSError as error:
            for one in opened:
                one.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise _explain(error, hosts, port) from error
        except BaseException:
            for one in opened:
                one.close()
            raise
    if port:
        raise PortTaken(
            f"port {port} is taken by another program", "choose another with --port, 0 picks a free one"
        )
    raise PortTaken("no port is free for UDP and TCP alike", "name one with --port")


def _bind_all(hosts: Sequence[str], port: int, optional: bool, opened: list[socket.socket]) -> BoundPort:
    pairs: list[tuple[socket.socket, socket.socket]] = []
    for host in hosts:
        try:
            udp = _open(host, socket.SOCK_DGRAM, port, opened)
            port = udp.getsockname()[1]
            tcp = _open(host, socket.SOCK_STREAM, port, opened)
        except OSError as error:
            if optional and error.errno in _NO_SUCH_FAMILY and len(hosts) > 1:
                continue
            raise
        tcp.listen(BACKLOG)
        pairs.append((udp, tcp))
    if not pairs:
        raise CannotBind("this machine has neither IPv4 nor IPv6", "bring up a network interface")
    listeners = tuple(trio.SocketListener(trio.socket.from_stdlib_socket(tcp)) for _, tcp in pairs)
    return BoundPort(port, tuple(udp for udp, _ in pairs), listeners)


def _open(host: str, kind: socket.SocketKind, port: int, opened: list[socket.socket]) -> socket.socket:
    family = family_of(host)
    if family is None:
        raise CannotBind(f"{host} is no numeric address", "give --bind one of this machine's addresses")
    # Any port number stands in for 0, at which nothing can be reached.
    resolved = socket_address(Endpoint(host, port or 1))
    if resolved is None:
        raise CannotBind(f"there is no interface for {host}", "see the machine's interfaces with `ip addr`")
    address = (resolved[1][0], port, *resolved[1][2:])
    one = socket.socket(family, kind)
    opened.append(one)
    one.setblocking(False)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_DGRAM:
        _prepare_datagrams(one, family)
    elif os.name == "posix":
        # A restart need not wait until the kernel forgets the last run's connections; two listeners still
        # collide.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(address)
    return one


def _prepare_datagrams(one: socket.socket, family: socket.AddressFamily) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        # Linux gives as much as it may; other systems refuse what is too much.
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, option, DATAGRAM_BUFFER)
    if sys.platform == "linux":
        # Queues ICMP errors with the destination that they concern: linux/in.h, linux/in6.h.
        level, recverr = (socket.IPPROTO_IP, 11) if family == socket.AF_INET else (socket.IPPROTO_IPV6, 25)
        one.setsockopt(level, recverr, 1)


def _explain(error: OSError, hosts: Sequence[str], port: int) -> MeshError:
    where = ", ".join(hosts)
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotBind(
            f"{where} is not an address of this machine", "give --bind one of this machine's addresses"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return CannotBind(f"this user may not listen on port {port}", "choose a port above 1023 with --port")
    return CannotBind(
        f"cannot listen on {where} port {port}: {error.strerror}", "choose others with --bind and --port"
    )

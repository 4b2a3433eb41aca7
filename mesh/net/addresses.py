"""Endpoints as the operating system writes them, and back. Never names, so no look-up that could block."""

import ipaddress
import socket
from functools import lru_cache
from typing import Any

from mesh.wire.endpoint import Endpoint

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def family_of(host: str) -> socket.AddressFamily | None:
    """The address family of a numeric ``host`` (an IPv6 one may carry ``%scope``), None for anything else."""
    for family, text in ((socket.AF_INET, host), (socket.AF_INET6, host.partition("%")[0])):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return family
    return None


def is_loopback(address: str) -> bool:
    """Whether the text is a loopback address, also an IPv4 one that is mapped into IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


@lru_cache(maxsize=4096)
def socket_address(endpoint: Endpoint) -> tuple[socket.AddressFamily, SocketAddress] | None:
    """Family and address of ``endpoint`` for the socket calls.

    None if the host is not numeric, or its scope is unknown.
    """
    host, _, scope = endpoint.host.partition("%")
    family = family_of(endpoint.host)
    if family is None or not 0 < endpoint.port < 65536:
        return None
    if family == socket.AF_INET:
        return (family, (host, endpoint.port))
    index = _scope_index(scope)
    return None if index is None else (family, (host, endpoint.port, 0, index))


def endpoint_of(address: Any) -> Endpoint:
    """The endpoint of an address that a socket call returned.

    An IPv6 link-local one keeps its interface as scope.
    """
    host, port = address[0], address[1]
    if len(address) == 4 and address[3] and "%" not in host:
        host = f"{host}%{_scope_name(address[3])}"
    return Endpoint(host, port)


def _scope_index(scope: str) -> int | None:
    if not scope:
        return 0
    if scope.isdigit():
        return int(scope)
    try:
        return socket.if_nametoindex(scope)
    except OSError:
        return None


def _scope_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)

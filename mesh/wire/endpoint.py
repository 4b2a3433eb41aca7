"""Where a datagram or a stream goes: a numeric address and a port."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from mesh.wire.errors import MeshError


class Endpoint(NamedTuple):
    """A numeric IPv4 or IPv6 address (IPv6 may carry a ``%scope``) and a port of 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int) -> Endpoint:
        """Read ``1.2.3.4``, ``1.2.3.4:5``, ``::1``, ``[::1]`` or ``[::1]:5``; raises MeshError."""
        host, port = text.strip(), str(default_port)
        if host.startswith("["):
            host, closed, rest = host[1:].partition("]")
            if not closed or (rest and not rest.startswith(":")):
                raise MeshError(f"{text!r} is not an address", "write IPv6 and port as [::1]:50052")
            port = rest[1:] or port
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        if not is_numeric_host(host):
            raise MeshError(f"{text!r} is not a numeric address", "give it as IP or IP:PORT")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
            raise MeshError(f"{text!r} has no valid port", "a port is a number from 1 to 65535")
        return cls(host, int(port))


def is_numeric_host(host: str) -> bool:
    """Whether the text is an IP address in numbers, of at most 64 characters."""
    return len(host) <= 64 and _is_address(host)


@lru_cache(maxsize=1024)  # callers ask about the same few for ever
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

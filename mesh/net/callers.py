"""Connections that have proved nothing yet: few of each source, few in all, and not too many in a second.

A source is an IPv4 address or the /64 network of an IPv6 one, since a host that has one address of it has
all. When there is no room, the source that holds most gives way, so that one host cannot lock the others out.
"""

import socket
from collections import Counter

import trio

from mesh.net.addresses import family_of
from mesh.net.metering import Meter

MAX_CALLERS = 256
MAX_CALLERS_OF_A_SOURCE = 32
RATE, BURST = 50.0, 200.0
"""Connections a second of one source, and at once. Those that turn out to be a member's do not count."""
MAX_SOURCES = 1024

_V4_MAPPED = bytes(10) + b"\xff\xff"


class Callers:
    """The present callers. Each caller has a cancel scope, which ends its connection."""

    def __init__(self) -> None:
        self._calling: dict[trio.CancelScope, str] = {}
        self._held: Counter[str] = Counter()
        self._meter = Meter(RATE, BURST, MAX_SOURCES)

    def __len__(self) -> int:
        return len(self._calling)

    def arrive(self, host: str, now: float) -> trio.CancelScope | None:
        """Admit a caller; None when its source has too many already, or calls too often."""
        source = source_of(host)
        if self._held[source] >= MAX_CALLERS_OF_A_SOURCE or not self._meter.take(source, now):
            return None
        if len(self._calling) >= MAX_CALLERS:
            self._send_one_away()
        scope = trio.CancelScope()
        self._calling[scope] = source
        self._held[source] += 1
        return scope

    def depart(self, scope: trio.CancelScope, as_member: bool) -> None:
        """Forget a caller: its connection is set up, or gone."""
        source = self._calling.pop(scope, None)
        if source is None:
            return
        self._release(source)
        if as_member:
            self._meter.give_back(source)

    def _send_one_away(self) -> None:
        """End the oldest caller of the source that has most."""
        greatest, _ = self._held.most_common(1)[0]
        oldest = next(scope for scope, source in self._calling.items() if source == greatest)
        del self._calling[oldest]
        self._release(greatest)
        oldest.cancel()

    def _release(self, source: str) -> None:
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]


def source_of(host: str) -> str:
    """What counts as one source: see the module."""
    family = family_of(host)
    if family is None or ":" not in host:
        return host
    address = host.partition("%")[0]
    packed = socket.inet_pton(family, address)
    if packed.startswith(_V4_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return packed[:8].hex()

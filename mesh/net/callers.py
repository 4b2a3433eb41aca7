"""Connections that have proved nothing yet: few of each source, few in all, and not too many in a second.

A source is an IPv4 address or the /64 network of an IPv6 one, since a host that has one address of it has
all. When there is no room, the source that holds most gives way, so that one host cannot lock the others out.
"""

import socket
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from mesh.net.addresses import family_of
from mesh.net.metering import Meter

MAX_CALLERS = 256
MAX_CALLERS_OF_A_SOURCE = 32
RATE, BURST = 50.0, 200.0
"""Connections a second of one source, and at once. Those that turn out to be a member's do not count."""
MAX_SOURCES = 1024

_V4_MAPPED = bytes(10) + b"\xff\xff"


Holder = TypeVar("Holder")


class Places(Generic[Holder]):
    """So many places in all, of which a source has but a part."""

    def __init__(self, most: int, most_of_a_source: int) -> None:
        self.most, self.most_of_a_source = most, most_of_a_source
        self._sources: dict[Holder, str] = {}
        self._held: dict[str, dict[Holder, None]] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def is_full(self, source: str | None = None) -> bool:
        """Whether no place is left, of those in all or of a source's."""
        if source is None:
            return len(self._sources) >= self.most
        return len(self._held.get(source, ())) >= self.most_of_a_source

    def take(self, holder: Holder, source: str) -> None:
        """Give a place to the holder, whether there is one or not."""
        self._sources[holder] = source
        self._held.setdefault(source, {})[holder] = None

    def leave(self, holder: Holder) -> str | None:
        """Take the holder's place back and return its source; None when it has none."""
        source = self._sources.pop(holder, None)
        if source is not None:
            del self._held[source][holder]
            if not self._held[source]:
                del self._held[source]
        return source

    def longest(self, since: Callable[[Holder], float | None], source: str | None = None) -> Holder | None:
        """The holder that has waited for longest, of ``source`` or of the greediest source that has any.

        ``since`` says from when on a holder waits; None while it does not. Of equals it is the first.
        """
        greediest = sorted(self._held, key=lambda one: -len(self._held[one]))
        for one in greediest if source is None else [source]:
            waiting = [
                (at, holder) for holder in self._held.get(one, ()) if (at := since(holder)) is not None
            ]
            if waiting:
                return min(waiting, key=lambda pair: pair[0])[1]
        return None


class Callers:
    """The present callers. Each caller has a cancel scope, which ends its connection."""

    def __init__(self) -> None:
        self._places = Places[trio.CancelScope](MAX_CALLERS, MAX_CALLERS_OF_A_SOURCE)
        self._meter = Meter(RATE, BURST, MAX_SOURCES)

    def __len__(self) -> int:
        return len(self._places)

    def arrive(self, host: str, now: float) -> trio.CancelScope | None:
        """Admit a caller; None when its source has too many already, or calls too often."""
        source = source_of(host)
        if self._places.is_full(source) or not self._meter.take(source, now):
            return None
        if self._places.is_full() and (oldest := self._places.longest(lambda _: 0.0)):
            self._places.leave(oldest)
            oldest.cancel()
        scope = trio.CancelScope()
        self._places.take(scope, source)
        return scope

    def depart(self, scope: trio.CancelScope, as_member: bool) -> None:
        """Forget a caller: its connection is set up, or gone."""
        source = self._places.leave(scope)
        if source is not None and as_member:
            self._meter.give_back(source)


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

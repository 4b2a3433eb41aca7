"""How many clients have room: so many of each source, and places of its own for this machine.

Whoever is connected and sends nothing gives way to the next that comes, for longest first; a request that has
arrived is never cut for another. This machine's programs are one source with many places, since they may be
anybody who reaches loopback through a proxy; other hosts' places are apart, so that these cannot shut out the
owner. As on the mesh's port, the source that has most gives way.
"""

from typing import Final, Protocol

from mesh.net.addresses import is_loopback
from mesh.net.callers import Places, source_of

MAX_LOCAL_CLIENTS: Final = 160
"""Connections of this machine's programs at a time."""
MAX_OTHER_CLIENTS: Final = 96
"""Connections of other hosts. With those of this machine no more than requests may be in flight, so that
whoever has a place is answered."""
MAX_CLIENTS_OF_A_SOURCE: Final = 64
"""Connections of one other host."""
THIS_MACHINE: Final = "this machine"


class ClientConnection(Protocol):
    """A connection, as far as it can give way."""

    idle_since: float | None
    """From when on the client is to send, and does not; None while it waits for an answer."""

    def close_when_idle(self) -> None:
        """Close it: at once, if the client waits for no answer."""


class Clients:
    """The present clients."""

    def __init__(self) -> None:
        self._local = Places[ClientConnection](MAX_LOCAL_CLIENTS, MAX_LOCAL_CLIENTS)
        self._others = Places[ClientConnection](MAX_OTHER_CLIENTS, MAX_CLIENTS_OF_A_SOURCE)

    def arrive(self, connection: ClientConnection, host: str, local: str) -> bool:
        """Give the connection from ``host`` to the address ``local`` a place; False when there is none."""
        # No other host has the address that it calls.
        if is_loopback(host) or host == local:
            places, source = self._local, THIS_MACHINE
        else:
            places, source = self._others, source_of(host)
        if places.is_full(source):
            last = places.longest(_idle_since, source)
        elif places.is_full():
            last = places.longest(_idle_since)
        else:
            places.take(connection, source)
            return True
        if last is None:
            return False
        places.leave(last)
        last.close_when_idle()
        places.take(connection, source)
        return True

    def depart(self, connection: ClientConnection) -> None:
        """Forget a connection, which may have given way before."""
        self._local.leave(connection)
        self._others.leave(connection)


def _idle_since(connection: ClientConnection) -> float | None:
    return connection.idle_since

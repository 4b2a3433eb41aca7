"""Where the API listens, and what it wants of those who come in there: it is the entrance that decides.

Loopback is for this machine's programs and wants no key, but whoever it is that a tailscaled in userspace
brings there is refused. ``--listen`` opens another entrance, which wants the key of everybody, whether it is
at an address of the network, at all addresses, or at one of loopback for a proxy on this machine.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mesh.gateway.replies import Reply
from mesh.wire.endpoint import Endpoint

LOOPBACK: Final = "127.0.0.1"
ANYWHERE: Final = "0.0.0.0"

Guard = Callable[[Endpoint], Awaitable[Reply | None]]
"""Says why a connection from there is refused, or None."""


async def let_pass(caller: Endpoint) -> Reply | None:
    """Refuse no connection."""
    return None


@dataclass(frozen=True, slots=True)
class Entrance:
    """A numeric address and port, 0 for any free one, to listen at.

    With ``api_key``, every request that discloses or does something needs it. A connection that ``guard``
    refuses gets that answer and no other.
    """

    host: str
    port: int
    api_key: str | None = field(default=None, repr=False)
    guard: Guard = let_pass


def entrances(
    bind: str | None, port: int, guard: Guard, listen: str | None = None, api_key: str | None = None
) -> list[Entrance]:
    """The entrance for this machine's programs first, and that of ``--listen``, which has the key.

    Where ``--listen`` names loopback's own address, there is but this one, with the key.
    """
    loopback = bind if bind is not None and bind.startswith("127.") else LOOPBACK
    own = Entrance(loopback, port, guard=guard)
    if listen is None or api_key is None:
        return [own]
    if listen in (loopback, "localhost"):
        return [Entrance(loopback, port, api_key)]
    return [own, Entrance(listen, port, api_key)]


def listening_for(entrance: Entrance, all: Iterable[Entrance]) -> Entrance:
    """The entrance whose socket takes the connections for ``entrance``: another one, or itself.

    Linux has no socket listen at an address and port where another listens at all addresses.
    """
    if entrance.port and ":" not in entrance.host:
        for other in all:
            if (other.host, other.port) == (ANYWHERE, entrance.port):
                return other
    return entrance

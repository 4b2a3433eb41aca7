"""What disks that were set back made their members forget: the only excuse that a roll back gives.

It ends by itself. What its disk says when it starts again a member knows, and is held to; what it forgot lies
between that and what the disk said before, and can be said once more for each time that it was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.wire import codec
from mesh.wire.facts import Claim, decode
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Excuses
from simulations.hosts import Host
from simulations.world import World


class Setbacks:
    """Compares the disk of each process that ends with that of the next one."""

    def __init__(self, world: World, excuses: Excuses) -> None:
        self._excuses = excuses
        self._left: dict[NodeId, int] = {}
        """The term on the disk of each process that ended."""
        self._met: dict[NodeId, float] = {}
        """The last roll back from which a process has started."""
        self._forgotten: dict[NodeId, list[tuple[int, int]]] = {}
        """For each roll back the terms above the first and up to the second."""
        self.listeners: list[Callable[[Host], None]] = []
        """Shown every host whose first process since a roll back is about to start."""
        world.on_crash.append(lambda host: self._left.update({host.id: stored(host, "term")}))
        world.on_start.append(self._on_start)

    def _on_start(self, host: Host) -> None:
        back = self._excuses.set_back.get(host.id)
        if back is None or self._met.get(host.id) == back:
            return
        self._met[host.id] = back
        kept = stored(host, "term")
        self.forgot(host.id, kept, self._left.get(host.id, kept))
        for listener in self.listeners:
            listener(host)

    def forgot(self, id: NodeId, kept: int, left: int) -> None:
        """The member's disk says the one term and had said the other."""
        self._forgotten.setdefault(id, []).append((kept, left))

    def times(self, id: NodeId, term: int) -> int:
        """How often the member forgot that it may have claimed or given up that term."""
        return sum(kept < term <= left for kept, left in self._forgotten.get(id, ()))


def stored(host: Host, key: str) -> int:
    """A number on the disk of a host; 0 where there is none."""
    value = host.disk.get(key)
    number: int = 0 if value is None else codec.unpack(value, 16)[0]
    return number


def stored_grant(host: Host) -> Claim | None:
    """The claim that the worker is lent to by what its disk says, the whole of it."""
    value = host.disk.get("grant")
    if value is None:
        return None
    data, _ = codec.unpack(value, len(value))
    claim = decode(data).fact
    assert isinstance(claim, Claim)
    return claim

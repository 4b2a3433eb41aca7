"""What state rollbacks made members forget: the only excuse that a rollback gives.

The excuse ends by itself. After the restart a member knows what its disk says, and is held to it. What it
forgot lies between that and what the disk said before. It may say that once more for each rollback.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.wire import codec
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from mesh.wire.signed_facts import decode
from simulations.hosts import Host
from simulations.world import World


class Setbacks:
    """Compares the disk of each process that ends with that of the next one."""

    def __init__(self, world: World) -> None:
        self._left: dict[NodeId, tuple[int, int]] = {}
        """The term on the disk of each process that ended, and the number of writes that disk had seen."""
        self._forgotten: dict[NodeId, list[tuple[int, int]]] = {}
        """For each rollback the terms above the first and up to the second."""
        self.listeners: list[Callable[[Host], None]] = []
        """Called with every host whose first process since a rollback is about to start."""
        world.on_crash.append(self._on_crash)
        world.on_start.append(self._on_start)

    def _on_crash(self, host: Host) -> None:
        self._left[host.id] = (stored(host, "term"), len(host.disk.written))

    def _on_start(self, host: Host) -> None:
        term, writes = self._left.get(host.id, (0, 0))
        if len(host.disk.written) < writes:
            self.forgot(host.id, stored(host, "term"), term)
            for listener in self.listeners:
                listener(host)

    def forgot(self, id: NodeId, kept: int, left: int) -> None:
        """The member's disk says the term ``kept`` and had said ``left``."""
        self._forgotten.setdefault(id, []).append((kept, left))

    def has_forgotten(self, id: NodeId) -> bool:
        """Whether the disk of that member was ever set back: it may have said anything before."""
        return id in self._forgotten

    def times(self, id: NodeId, term: int) -> int:
        """How often the member forgot that it may have claimed or resigned that term."""
        return sum(kept < term <= left for kept, left in self._forgotten.get(id, ()))


def stored(host: Host, key: str) -> int:
    """A number on the disk of a host; 0 where there is none."""
    value = host.disk.get(key)
    number: int = 0 if value is None else codec.unpack(value, 16)[0]
    return number


def stored_grant(host: Host) -> Claim | None:
    """The claim that the worker granted its lease to, as its disk says, the whole of it."""
    value = host.disk.get("grant")
    if value is None:
        return None
    data, _ = codec.unpack(value, len(value))
    claim = decode(data).fact
    assert isinstance(claim, Claim)
    return claim

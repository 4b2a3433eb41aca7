"""What is known of another member: whether it lives, where it is, how far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId

ALIVE, SUSPECT, DEAD, LEFT = "alive", "suspect", "dead", "left"


@dataclass(slots=True)
class Peer:
    """Another member, as seen from here."""

    id: NodeId
    incarnation: int
    refutations: int = 0
    state: str = ALIVE
    record: Record | None = None
    proven: Endpoint | None = None
    """Where it answered a probe from."""
    source: Endpoint | None = None
    """Where its last datagram came from."""
    rtt: float | None = None
    acked_at: float = -math.inf
    reset_at: float = -math.inf
    """When its process was seen to be gone: a stream reset, a port refused."""
    suspected_at: float = -math.inf
    accusers: set[NodeId] = field(default_factory=set)
    missed: bool = False
    """Whether a probe from here failed since it was last known to live."""
    steady: bool = True
    """Whether it says of itself that it can be reached well enough."""
    called: bool = False
    """Whether the last call of this suspicion went out."""

    @property
    def liveness(self) -> tuple[int, int]:
        return (self.incarnation, self.refutations)

    @property
    def present(self) -> bool:
        """Alive, as far as anyone knows: what is merely suspected still counts."""
        return self.state in (ALIVE, SUSPECT)

    @property
    def endpoint(self) -> Endpoint | None:
        """Where to send: where it proved to be, else where it was heard, else the first it advertises."""
        if self.proven or self.source:
            return self.proven or self.source
        return self.record.profile.addresses[0] if self.record and self.record.profile.addresses else None

    def endpoints(self) -> list[Endpoint]:
        """All addresses worth trying, the likeliest first."""
        advertised = self.record.profile.addresses if self.record else ()
        return list(dict.fromkeys(e for e in (self.proven, self.source, *advertised) if e is not None))

"""What is known of another member: whether it lives, where it is, how far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId

_MAX_PATIENCE = 1.0
ALIVE, SUSPECT, DEAD, LEFT = "alive", "suspect", "dead", "left"
_PRESENT = (ALIVE, SUSPECT)


@dataclass(slots=True)
class Peer:
    """Another member, as seen from here."""

    id: NodeId
    generation: int
    incarnation: int = 0
    state: str = ALIVE
    changed_at: float = -math.inf
    """When it was last seen to die, leave or live again."""
    record: Record | None = None
    proven: Endpoint | None = None
    """Where it answered a probe from."""
    source: Endpoint | None = None
    """Where its last datagram came from."""
    rtt: float | None = None
    """Smoothed round trip, and its mean deviation, in seconds."""
    deviation: float = 0.0
    acked_at: float = -math.inf
    """When an answer to a probe came, however late, ..."""
    raised_at: float = -math.inf
    """... and when its liveness rose: either shows that it lived a short while before."""
    reset_at: float = -math.inf
    """When its process was seen to be gone: a stream reset, a port refused."""
    suspected_at: float = -math.inf
    suspectors: set[NodeId] = field(default_factory=set)
    missed: bool = False
    """Whether a probe from here failed since it was last known to live."""
    stable: bool = True
    """Whether it says of itself that it can be reached well enough."""
    final_probed: bool = False
    """Whether the last call of this suspicion went out."""

    @property
    def liveness(self) -> tuple[int, int]:
        return (self.generation, self.incarnation)

    @property
    def present(self) -> bool:
        """Alive, as far as anyone knows: what is merely suspected still counts."""
        return self.state in _PRESENT

    @property
    def endpoint(self) -> Endpoint | None:
        """Where to send: where it proved to be, else where it was heard, else the first it advertises."""
        if self.proven is not None:
            return self.proven
        if self.source is not None:
            return self.source
        return self.record.profile.addresses[0] if self.record and self.record.profile.addresses else None

    @property
    def patience(self) -> float:
        """How long a direct answer may take at most by what was measured so far (RFC 6298); 0: unknown."""
        return 0.0 if self.rtt is None else min(_MAX_PATIENCE, self.rtt + 4.0 * self.deviation)

    def measured(self, elapsed: float, late: bool = False) -> None:
        """A direct answer took so long (RFC 6298); ``late``: it was given up already.

        What was given up too early is learnt from at once (the Eifel response, RFC 4015).
        """
        if self.rtt is None or (late and elapsed > self.rtt):
            self.rtt, self.deviation = elapsed, elapsed / 2.0
        else:
            self.deviation += 0.25 * (abs(elapsed - self.rtt) - self.deviation)
            self.rtt += 0.125 * (elapsed - self.rtt)

    def endpoints(self) -> list[Endpoint]:
        """All addresses worth trying, the likeliest first."""
        advertised = self.record.profile.addresses if self.record else ()
        return list(dict.fromkeys(e for e in (self.proven, self.source, *advertised) if e is not None))

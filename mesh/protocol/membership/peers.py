"""One node's view of another member: state, address, round trip time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId

_MAX_PATIENCE = 1.0


class MemberState(StrEnum):
    """Whether a member lives, as far as this one knows."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


PRESENT = (MemberState.ALIVE, MemberState.SUSPECT)
GONE = (MemberState.DEAD, MemberState.LEFT)


@dataclass(slots=True)
class Peer:
    """Another member in this node's view; times are in seconds of this node's clock."""

    id: NodeId
    generation: int
    incarnation: int = 0
    state: MemberState = MemberState.ALIVE
    changed_at: float = -math.inf
    """When its state changed last."""
    record: Record | None = None
    proven: Endpoint | None = None
    """The address from which it answered a probe."""
    source: Endpoint | None = None
    """The address from which its last datagram came."""
    rtt: float | None = None
    """Smoothed round trip time, and its mean deviation, in seconds (RFC 6298)."""
    deviation: float = 0.0
    answered_at: float = -math.inf
    """When it last answered a ping of this node's on the direct way."""
    doubted_at: float = -math.inf
    """When it, or the direct way to it, last gave reason to doubt that all is well there: a late answer, a
    suspicion, a refutation, another address, another run."""
    acked_at: float = -math.inf
    """When its last answer to a probe came, however late, ..."""
    raised_at: float = -math.inf
    """... and when its liveness rose: either proves that it lived a short while before."""
    reset_at: float = -math.inf
    """When this node saw that its process is gone: a stream reset, a port refused."""
    suspected_at: float = -math.inf
    suspectors: set[NodeId] = field(default_factory=set)
    missed: bool = False
    """Whether a probe by this node failed since the peer last proved that it lives."""
    stable: bool = True
    """Whether its own flap detection says that others reach it well enough."""
    is_understood: bool = True
    """Whether it speaks a wire version of this node, as far as its record says; if not, it counts as dead."""
    final_probed: bool = False
    """Whether the final probe of this suspicion went out."""

    @property
    def liveness(self) -> tuple[int, int]:
        return (self.generation, self.incarnation)

    @property
    def present(self) -> bool:
        """Whether it is alive or suspect: a suspect still counts as a member."""
        return self.state in PRESENT

    @property
    def endpoint(self) -> Endpoint | None:
        """Where to send: the proven address, else the source of its last datagram, else its first own one."""
        if self.proven is not None:
            return self.proven
        if self.source is not None:
            return self.source
        return self.record.profile.addresses[0] if self.record and self.record.profile.addresses else None

    @property
    def patience(self) -> float:
        """How many seconds a direct answer may take by the measurements so far (RFC 6298); 0: unknown."""
        return 0.0 if self.rtt is None else min(_MAX_PATIENCE, self.rtt + 4.0 * self.deviation)

    def measured(self, elapsed: float, late: bool = False) -> None:
        """Learn from a direct answer after ``elapsed`` seconds (RFC 6298); ``late``: its probe was over.

        A late answer sets the round trip time at once (the Eifel response, RFC 4015).
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

"""What a Node asks of its driver: effects, timers among them, and the events that it tells."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Claim, Deployment, PoolState
from mesh.wire.identity import NodeId
from mesh.wire.immutable import value


@value
class Timer:
    """The driver hands it back to ``Node.fire``; the token tells a new timer from a stale one."""

    kind: str
    subject: bytes
    token: int


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """A member joined, left, died, came back or changed its record."""


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The worker's gate may pass the streams of this claim's author alone; None: no streams.

    Another claim of the same author may follow with no None between. Then the lease continued, and the
    author's streams under its earlier claims may go on.
    """

    claim: Claim | None


@dataclass(frozen=True, slots=True)
class LeasesChanged:
    """This leader holds the leases of exactly these workers now."""

    held: frozenset[NodeId]


@dataclass(frozen=True, slots=True)
class DeploymentChanged:
    deployment: Deployment


@dataclass(frozen=True, slots=True)
class StateChanged:
    state: PoolState


@dataclass(frozen=True, slots=True)
class MemberLost:
    """A member is out of the pool: the owner ``by`` evicted it, or (None) its voucher was revoked.

    The names are from the last records of the two. The driver cuts all streams with the member.
    """

    id: NodeId
    name: str
    by: NodeId | None
    by_name: str


@dataclass(frozen=True, slots=True)
class Expelled:
    """This node is out of the pool and takes no further part; fields as in :class:`MemberLost`."""

    by: NodeId | None
    by_name: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the log; ``level`` is one of info, warning."""

    level: str
    text: str


Event = (
    MembersChanged
    | LeaderChanged
    | GateChanged
    | LeasesChanged
    | DeploymentChanged
    | StateChanged
    | MemberLost
    | Expelled
    | Notice
)


@value
class Send:
    """Send a datagram of at most 1200 bytes; ``to`` is None while no member is known at the address."""

    to: NodeId | None
    endpoint: Endpoint
    payload: bytes


@value
class SendStream:
    """Send a message of at most 256 KiB, framed, over an authenticated stream to the member.

    ``endpoint`` is where a datagram would go: no record of the member may have come yet.
    """

    to: NodeId
    endpoint: Endpoint
    payload: bytes


@value
class SetTimer:
    timer: Timer
    at: float


@value
class Persist:
    """Write the value to the disk before performing any later effect of the same list."""

    key: str
    value: bytes


@value
class ProbeStream:
    """Probe the member by TCP; the driver answers with ``Node.probe_result``."""

    to: NodeId
    endpoint: Endpoint
    token: int


@value
class Tell:
    event: Event


Effect = Send | SendStream | SetTimer | Persist | ProbeStream | Tell

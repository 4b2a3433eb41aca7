"""What a Node asks of the world: effects, the timers among them, and the events that it tells."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Claim, Deployment, PoolState
from mesh.wire.identity import NodeId
from mesh.wire.immutable import value


@value
class Timer:
    """Handed back by ``Node.fire``; the token tells a timer that was set anew from its stale forerunner."""

    kind: str
    subject: bytes
    token: int


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Someone joined, left, died, came back or changed its record."""


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The worker's gate may pass the streams of this claim's author alone; None: nobody's.

    When another claim of one author follows, with no None between, its lease was not broken off: its streams
    under the claims before may go on.
    """

    claim: Claim | None


@dataclass(frozen=True, slots=True)
class LeasesChanged:
    """The workers whose lease this leader holds now."""

    held: frozenset[NodeId]


@dataclass(frozen=True, slots=True)
class DeploymentChanged:
    deployment: Deployment


@dataclass(frozen=True, slots=True)
class StateChanged:
    state: PoolState


@dataclass(frozen=True, slots=True)
class MemberLost:
    """A member is none any more: it was evicted by that owner, or (None) what it was vouched by fell.

    Names are what the two called themselves last. Streams with it are to be cut.
    """

    id: NodeId
    name: str
    by: NodeId | None
    by_name: str


@dataclass(frozen=True, slots=True)
class Expelled:
    """This very node is no member any more, and takes no further part: see :class:`MemberLost`."""

    by: NodeId | None
    by_name: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something for the log; ``level`` is one of info, warning."""

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
    """A datagram of at most 1200 bytes; ``to`` is None while it is unknown who lives there."""

    to: NodeId | None
    endpoint: Endpoint
    payload: bytes


@value
class SendStream:
    """A message of at most 256 KiB, framed, over an authenticated stream to the member."""

    to: NodeId
    payload: bytes


@value
class SetTimer:
    timer: Timer
    at: float


@value
class Persist:
    """To be on the disk before any later effect of the same list is performed."""

    key: str
    value: bytes


@value
class ProbeStream:
    """Try to reach the member by TCP; answered with ``Node.probe_result``."""

    to: NodeId
    endpoint: Endpoint
    token: int


@value
class Tell:
    event: Event


Effect = Send | SendStream | SetTimer | Persist | ProbeStream | Tell

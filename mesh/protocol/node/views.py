"""What a Node shows of itself to status, gateway and discovery: plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.protocol.base.context import NO_POOL
from mesh.protocol.base.drop_counters import DropCounters
from mesh.protocol.membership.peers import ALIVE, LEFT
from mesh.protocol.node.wiring import Parts
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Claim, Deployment, PoolState, Record, Signed
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.rights import Rights


@dataclass(frozen=True, slots=True)
class Member:
    """A member as status shows it; ``rtt`` in seconds, None while not measured."""

    id: NodeId
    key: bytes
    rights: Rights
    record: Record | None
    state: str
    endpoint: Endpoint | None
    rtt: float | None


class Views:
    """The reading half of a Node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def id(self) -> NodeId:
        return self._parts.context.id

    @property
    def pool(self) -> PoolId | None:
        return self._parts.context.pool if self._parts.context.pool != NO_POOL else None

    @property
    def generation(self) -> int:
        return self._parts.membership.generation

    def members(self) -> list[Member]:
        """All members that were ever heard of alive, self included, by id."""
        ids = sorted([self.id, *self._parts.membership.peers])
        return [member for id in ids if (member := self.member(id)) is not None]

    def member(self, id: NodeId) -> Member | None:
        """One of `members`."""
        vouched = self._parts.roster.members.get(id)
        if vouched is None:
            return None
        if id == self.id:
            own = self._parts.store.get(Record, id)
            if own is None:
                return None
            addresses = own.fact.profile.addresses
            state = LEFT if own.fact.left else ALIVE
            endpoint = addresses[0] if addresses else None
            return Member(id, vouched.key, vouched.rights, own.fact, state, endpoint, None)
        peer = self._parts.membership.peers.get(id)
        if peer is None:
            return None
        return Member(id, vouched.key, vouched.rights, peer.record, peer.state, peer.endpoint, peer.rtt)

    def leader(self) -> Claim | None:
        signed = self._parts.election.leader()
        return signed.fact if signed is not None else None

    def deployment(self) -> Deployment | None:
        """What the pool is to run: of all owners' the one with the highest number."""
        every = [s.fact for s in self._parts.store.all(Deployment) if s.fact.author in self._parts.roster]
        return max(every, key=lambda fact: (fact.number, fact.author), default=None)

    def pool_state(self) -> PoolState | None:
        """What the present leader says of the deployment."""
        leader = self.leader()
        signed = self._parts.store.get(PoolState, leader.author) if leader is not None else None
        state: PoolState | None = signed.fact if signed is not None else None
        return state if state is not None and leader is not None and state.term == leader.term else None

    def facts(self) -> Iterator[Signed[Any]]:
        """Everything that is stored, for checkers."""
        return self._parts.store.everything()

    def liveness(self) -> Mapping[NodeId, tuple[int, int]]:
        """The liveness at which each other member was last seen, for checkers."""
        return {peer.id: peer.liveness for peer in self._parts.membership.peers.values()}

    def chain(self, id: NodeId) -> list[bytes]:
        """Signed vouchers from the founder to the member; empty for a stranger."""
        return self._parts.roster.chain(id)

    def keys(self) -> Mapping[NodeId, bytes]:
        """The public keys of all present members of the pool."""
        return {id: vouched.key for id, vouched in self._parts.roster.members.items()}

    def knows(self, source: Endpoint) -> bool:
        """Whether a member has proven to speak from that address."""
        return self._parts.rate_limits.knows(source)

    @property
    def drops(self) -> DropCounters:
        """What came and was not taken."""
        return self._parts.context.drops

    def is_evicted(self, id: NodeId) -> bool:
        """Whether this key is barred from the pool for ever."""
        return id in self._parts.roster.evicted

    def rights(self, id: NodeId) -> Rights:
        return self._parts.roster.rights(id)

    def leases(self, now: float) -> frozenset[NodeId]:
        """The workers whose lease this leader holds."""
        return self._parts.leader_leases.held(now)

    def holder(self, now: float) -> Claim | None:
        """The claim whose author's streams this worker's gate may pass."""
        return self._parts.worker_lease.holder(now)

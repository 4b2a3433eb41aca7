"""The leader's side of leases: it asks workers for theirs, and knows which it holds.

A lease counts from before the request, and the leader takes it for shorter by the drift that clocks may
have: so it expires at the leader before it does at the worker (Gray and Cheriton, 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import LeasesChanged
from mesh.protocol.base.internal_events import LeaseRefused
from mesh.protocol.base.transitions import StateMachine
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.claims import Claims
from mesh.protocol.leadership.worker_lease import WorkerLease
from mesh.protocol.membership.membership import Membership
from mesh.wire.identity import NodeId
from mesh.wire.messages import LeaseGrant, LeaseRefusal, LeaseRelease, LeaseRequest

LEASE_DUE, HELD = "lease", "held"
_MAX_ASKED = 32


class LeaderLeaseState(StrEnum):
    """The state of a worker's lease on the leader's side."""

    UNWANTED = "unwanted"
    ASKING = "asking"
    HOLDING = "holding"


class LeaderLeaseEvent(StrEnum):
    """The event that changes that state."""

    WANTED = "the leader needs it"
    GRANTED = "the worker grants it"
    EXPIRED = "the lease is over by the leader's clock"
    RELEASED = "it is released"
    UNFIT = "it is no worker any more"
    DEPOSED = "the leader leads no longer"


LEADER_LEASE: dict[tuple[LeaderLeaseState, LeaderLeaseEvent], LeaderLeaseState] = {
    (LeaderLeaseState.UNWANTED, LeaderLeaseEvent.WANTED): LeaderLeaseState.ASKING,
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.GRANTED): LeaderLeaseState.HOLDING,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.GRANTED): LeaderLeaseState.HOLDING,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.EXPIRED): LeaderLeaseState.ASKING,
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.RELEASED): LeaderLeaseState.UNWANTED,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.RELEASED): LeaderLeaseState.UNWANTED,
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.UNFIT): LeaderLeaseState.UNWANTED,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.UNFIT): LeaderLeaseState.UNWANTED,
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.DEPOSED): LeaderLeaseState.UNWANTED,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.DEPOSED): LeaderLeaseState.UNWANTED,
}


@dataclass(slots=True)
class _LeaderLease:
    """One wanted worker: the requests to it, and until when the leader holds its lease."""

    number: int = 0
    """Of the last request."""
    asked: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Time and term of the last requests, by number: an answer may come after the next request."""
    until: float = float("-inf")
    term: int = 0
    """The term of the last grant."""
    confirmed_at: float = float("-inf")
    """When the leader made the last request that the worker granted."""
    machine: StateMachine[LeaderLeaseState, LeaderLeaseEvent] = field(
        default_factory=lambda: StateMachine(LEADER_LEASE, LeaderLeaseState.UNWANTED)
    )


class LeaderLeases:
    """The leases of one leader."""

    def __init__(
        self,
        context: Context,
        validator: FactValidator,
        membership: Membership,
        claims: Claims,
        worker_lease: WorkerLease,
    ) -> None:
        self._context = context
        self._validator = validator
        self._membership = membership
        self._claims = claims
        self._worker_lease = worker_lease
        self._wanted: dict[NodeId, _LeaderLease] = {}
        self._reported: frozenset[NodeId] = frozenset()
        self._numbers = 0
        self._paused_at = float("-inf")
        self._placed: frozenset[NodeId] = frozenset()

    def place(self, workers: frozenset[NodeId]) -> None:
        """Note that the plan places the model on exactly these workers."""
        self._placed = workers

    def serves(self) -> bool:
        """Whether the model is placed and every lease that it needs is confirmed."""
        return bool(self._placed) and self._placed <= self.confirmed(self._context.now)

    def held(self, now: float) -> frozenset[NodeId]:
        """The workers whose leases this leader holds at ``now``."""
        if self._claims.mine is None:
            return frozenset()
        return frozenset(id for id, lease in self._wanted.items() if now < lease.until)

    def confirmed(self, now: float) -> frozenset[NodeId]:
        """The leases granted since this process was last paused: others may be bound elsewhere by now."""
        if self._context.is_late():
            return frozenset()
        return frozenset(id for id in self.held(now) if self._wanted[id].confirmed_at > self._paused_at)

    def stalled(self) -> None:
        """This process was paused: no lease counts as confirmed until its worker renews it."""
        self._paused_at = self._context.now

    def invalidate(self, term: int) -> None:
        """Grants up to that term bind no worker any longer: ask anew.

        By timer and not in this call, for this node may be answering another leader's request.
        """
        for id, lease in self._wanted.items():
            lease.asked = {number: asked for number, asked in lease.asked.items() if asked[1] > term}
            if lease.term <= term:
                lease.until = float("-inf")
                self._context.schedule(LEASE_DUE, id, self._context.now)
        self.review()

    def want(self, workers: Iterable[NodeId]) -> None:
        """The leader needs exactly these workers from now on; it releases all others."""
        if self._claims.mine is None:
            return
        workers = frozenset(workers)
        self.release([id for id in self._wanted if id not in workers])
        for id in sorted(workers):
            if id not in self._wanted:
                self._wanted[id] = _LeaderLease()
                self._wanted[id].machine.on(LeaderLeaseEvent.WANTED)
                self.ask(id)

    def ask(self, id: NodeId) -> None:
        """Ask a worker for its lease or a renewal, and schedule the next request."""
        mine, lease = self._claims.mine, self._wanted.get(id)
        if mine is None or lease is None:
            return
        settings = self._context.settings
        self._numbers += 1
        lease.number = self._numbers
        lease.asked[self._numbers] = (self._context.now, mine.fact.term)
        if len(lease.asked) > _MAX_ASKED:
            del lease.asked[next(iter(lease.asked))]
        former = self._claims.predecessor()
        release = former.data if former is not None else b""
        request = LeaseRequest(id, self._numbers, self._membership.generation, mine.data, release)
        if id == self._context.id:
            answer = self._worker_lease.request(id, request)
            if isinstance(answer, LeaseGrant):
                self.granted(id, answer)
            elif isinstance(answer, LeaseRefusal):
                self.refused(answer)
        else:
            endpoint = self._membership.endpoint(id)
            if endpoint is not None:
                self._context.send(id, endpoint, request)
        healthy = lease.until > self._context.now + settings.lease - settings.renew - 1.0
        self._context.schedule(
            LEASE_DUE, id, self._context.now + (settings.renew if healthy else settings.lease_retry)
        )

    def granted(self, sender: NodeId, grant: LeaseGrant) -> None:
        """A worker grants its lease: it counts from its request, if no later one was granted already."""
        lease, mine = self._wanted.get(sender), self._claims.mine
        asked = lease.asked.pop(grant.number, None) if lease is not None else None
        if lease is None or mine is None or asked is None or grant.term != asked[1]:
            return
        settings, asked_at = self._context.settings, asked[0]
        until = asked_at + settings.lease * (1.0 - settings.drift)
        if mine.fact.term < grant.term or until <= max(lease.until, self._context.now):
            return
        lease.machine.on(LeaderLeaseEvent.GRANTED)
        lease.confirmed_at, lease.until, lease.term = asked_at, until, grant.term
        self._context.schedule(HELD, sender, until)
        self._context.schedule(LEASE_DUE, sender, max(self._context.now, asked_at + settings.renew))
        self.review()

    def refused(self, refusal: LeaseRefusal) -> None:
        """A worker refuses: learn the claim that it names; the election yields to it or reclaims."""
        self._validator.absorb(refusal.claim)
        self._context.emit(LeaseRefused())

    def release(self, workers: Iterable[NodeId]) -> None:
        """Release workers; each gets a message, and its lease expires where that is lost."""
        mine = self._claims.mine
        given_back = [
            (id, self._end(id, LeaderLeaseEvent.RELEASED)) for id in sorted(workers) if id in self._wanted
        ]
        self.review()
        for id, lease in given_back:
            endpoint = self._membership.endpoint(id)
            if mine is None or lease.number == 0:
                continue
            release = LeaseRelease(id, lease.number, mine.fact.term)
            if id == self._context.id:
                self._worker_lease.released(id, release)
            elif endpoint is not None:
                self._context.send(id, endpoint, release)

    def release_unfit(self, fit: Callable[[NodeId], bool]) -> None:
        """Drop the leases of workers that lost the right to work, without a message to them."""
        for id in [id for id in self._wanted if not fit(id)]:
            self._end(id, LeaderLeaseEvent.UNFIT)
        self.review()

    def _end(self, id: NodeId, why: LeaderLeaseEvent) -> _LeaderLease:
        lease = self._wanted.pop(id)
        lease.machine.on(why)
        self._context.cancel(LEASE_DUE, id)
        self._context.cancel(HELD, id)
        return lease

    def review(self) -> None:
        """Tell the driver when the set of held leases changed; drop all when this node leads no longer."""
        if self._claims.mine is None:
            for id in list(self._wanted):
                self._end(id, LeaderLeaseEvent.DEPOSED)
        for lease in self._wanted.values():
            if lease.machine.state is LeaderLeaseState.HOLDING and self._context.now >= lease.until:
                lease.machine.on(LeaderLeaseEvent.EXPIRED)
        held = self.held(self._context.now)
        if held != self._reported:
            self._reported = held
            self._context.tell(LeasesChanged(held))

"""The worker's side of leases: each worker alone decides which claim it is bound to.

It is bound to one claim at a time and never grants a lower one than before; a grant is on its disk before
it answers (Gray and Cheriton, "Leases", SOSP 1989). After a restart it grants nothing for one lease (restart
grace), for its disk may have been rolled back to before a grant that still binds it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import GateChanged
from mesh.protocol.base.transitions import StateMachine
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.claims import Claims
from mesh.protocol.membership.membership import Membership
from mesh.protocol.trust.roster import Roster
from mesh.wire import codec
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from mesh.wire.messages import LeaseGrant, LeaseRefusal, LeaseRelease, LeaseRequest
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import MAX_FACT, Signed

GATE = "gate"


class WorkerLeaseState(StrEnum):
    """The state of a worker's lease."""

    FREE = "free"
    RESTART_GRACE = "restart grace"
    GRANTED = "granted"


class WorkerLeaseEvent(StrEnum):
    """The event that changes it."""

    RESTARTED = "the process starts again"
    GRACE_ENDED = "one lease has passed since"
    GRANTED = "a claim is granted it"
    RENEWED = "its holder asks again"
    RELEASED = "its holder releases it"
    EXPIRED = "nobody renewed it"
    INVALIDATED = "its holder resigned, or may lead no longer"
    WITHDRAWN = "the worker leaves, or is none any more"


WORKER_LEASE: dict[tuple[WorkerLeaseState, WorkerLeaseEvent], WorkerLeaseState] = {
    (WorkerLeaseState.FREE, WorkerLeaseEvent.RESTARTED): WorkerLeaseState.RESTART_GRACE,
    (WorkerLeaseState.RESTART_GRACE, WorkerLeaseEvent.RESTARTED): WorkerLeaseState.RESTART_GRACE,
    (WorkerLeaseState.RESTART_GRACE, WorkerLeaseEvent.GRACE_ENDED): WorkerLeaseState.FREE,
    (WorkerLeaseState.FREE, WorkerLeaseEvent.GRANTED): WorkerLeaseState.GRANTED,
    (
        WorkerLeaseState.GRANTED,
        WorkerLeaseEvent.GRANTED,
    ): WorkerLeaseState.GRANTED,  # to a higher claim, when the one before binds no more
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.RENEWED): WorkerLeaseState.GRANTED,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.RELEASED): WorkerLeaseState.FREE,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.EXPIRED): WorkerLeaseState.FREE,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.INVALIDATED): WorkerLeaseState.FREE,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.WITHDRAWN): WorkerLeaseState.FREE,
}
_GRANT = codec.paired(codec.blob(MAX_FACT), codec.UINT)


@dataclass(slots=True)
class _Grant:
    """The worker's last grant: the claim, and its author's generation then."""

    claim: Signed[Claim]
    generation: int
    expires: float
    number: int


class WorkerLease:
    """One worker's lease."""

    def __init__(
        self,
        context: Context,
        roster: Roster,
        validator: FactValidator,
        membership: Membership,
        claims: Claims,
    ) -> None:
        self._context = context
        self._roster = roster
        self._validator = validator
        self._membership = membership
        self._claims = claims
        self._grant: _Grant | None = None
        self._state_machine = StateMachine(WORKER_LEASE, WorkerLeaseState.FREE)
        self._grace_until = -math.inf

    def restore(self, stored: bytes | None) -> None:
        """Take up a former run's grant: it, or one that a rollback erased, may bind for one lease yet.

        The worker spreads its claim, for only a higher one ever gets this lease: candidates must go beyond
        it. A damaged grant counts as none.
        """
        self._state_machine.on(WorkerLeaseEvent.RESTARTED)
        self._grace_until = self._context.now + self._context.settings.lease
        if stored is None:
            return
        try:
            data, generation = _GRANT.load(codec.unpack(stored, 2 * MAX_FACT))
            claim = self._context.read(data)
        except DecodeError:
            return
        if isinstance(claim.fact, Claim) and self._validator.absorb(data):
            self._grant = _Grant(claim, generation, self._grace_until, 0)

    def holder(self, now: float) -> Claim | None:
        """The claim whose author's streams the gate may pass at ``now``."""
        grant = self._grant
        return grant.claim.fact if grant is not None and self._is_granted and now < grant.expires else None

    @property
    def _is_granted(self) -> bool:
        return self._state_machine.state is WorkerLeaseState.GRANTED

    def bound_to_another(self, candidate: NodeId) -> Signed[Claim] | None:
        """The claim to which this worker is bound, if its author is not the candidate."""
        grant = self._grant
        if grant is None or grant.claim.fact.author == candidate or not self._still_binds(grant):
            return None
        return grant.claim

    def _still_binds(self, grant: _Grant) -> bool:
        """Whether the lease still binds: neither expired nor released nor void, its holder not gone."""
        author = grant.claim.fact.author
        if self._context.now >= grant.expires or self._is_void(grant):
            return False
        peer = self._membership.peers.get(author)
        restarted = peer is not None and peer.generation > grant.generation
        return not restarted and not self._membership.is_gone(author)

    def requested(self, sender: NodeId, source: Endpoint, request: LeaseRequest) -> None:
        """Answer another member's request for this worker's lease, if this node has the right to work."""
        me = self._context.id
        if self._context.running and request.worker == me and Rights.WORK in self._roster.rights(me):
            answer = self.request(sender, request)
            if answer is not None:
                self._context.send(sender, source, answer)

    def request(self, sender: NodeId, request: LeaseRequest) -> LeaseGrant | LeaseRefusal | None:
        """Grant or refuse a request; None, no answer, for one that is malformed, foreign or outdated."""
        if request.release:
            self._validator.absorb(request.release)
        self._validator.absorb(request.claim)
        try:
            claim = self._context.read(request.claim)
        except DecodeError:
            return None
        if not isinstance(claim.fact, Claim) or claim.fact.author != sender:
            return None
        leading = self._claims.leader()
        grant = self._grant
        if grant is not None and claim.fact.order < grant.claim.fact.order:
            return self._refuse(request, grant.claim, 0.0)
        if leading is None or leading.fact.author != sender or leading.data != claim.data:
            return self._refuse(request, leading, 0.0) if leading is not None else None
        if self._context.now < self._grace_until:
            return self._refuse(request, claim, self._grace_until - self._context.now)
        if grant is not None and grant.claim.fact.author != sender and self._still_binds(grant):
            return self._refuse(request, grant.claim, grant.expires - self._context.now)
        if grant is not None and grant.claim.data == claim.data and not _is_later(request, grant):
            return None
        return self._grant_lease(claim, request.number, request.generation)

    def _grant_lease(self, claim: Signed[Claim], number: int, generation: int) -> LeaseGrant:
        expires = self._context.now + self._context.settings.lease
        grant = self._grant
        renewed = grant is not None and grant.claim.data == claim.data and grant.generation == generation
        if not renewed:
            self._context.persist("grant", codec.pack([claim.data, generation]))
        if self._state_machine.state is WorkerLeaseState.RESTART_GRACE:
            self._state_machine.on(WorkerLeaseEvent.GRACE_ENDED)
        renewed = renewed and self._is_granted
        if grant is not None and self._is_granted and self._breaks_off(grant, claim, generation):
            self._context.tell(GateChanged(None))
        self._grant = _Grant(claim, generation, expires, number)
        self._state_machine.on(WorkerLeaseEvent.RENEWED if renewed else WorkerLeaseEvent.GRANTED)
        if not renewed:
            self._context.tell(GateChanged(claim.fact))
        self._context.schedule(GATE, b"", expires)
        return LeaseGrant(number, claim.fact.term)

    def _breaks_off(self, grant: _Grant, claim: Signed[Claim], generation: int) -> bool:
        """Whether the holder's former claim ended or its process is another: its old streams are over."""
        same_author = grant.claim.fact.author == claim.fact.author
        broken_off = grant.generation != generation or self._is_void(grant)
        return same_author and broken_off and grant.claim.data != claim.data

    def _refuse(self, request: LeaseRequest, claim: Signed[Claim], wait: float) -> LeaseRefusal:
        return LeaseRefusal(request.number, math.ceil(max(0.0, wait) * 1000), claim.data)

    def released(self, sender: NodeId, release: LeaseRelease) -> None:
        """The holder releases this worker; its earlier requests are void."""
        grant = self._grant
        if grant is None or release.worker != self._context.id:
            return
        if (grant.claim.fact.author, grant.claim.fact.term) != (sender, release.term):
            return
        if release.number >= grant.number:
            grant.number = release.number
            grant.expires = self._context.now
            self.close(WorkerLeaseEvent.RELEASED)

    def review(self) -> None:
        """Shut the gate behind a holder that resigned or lost the right to lead."""
        if self._grant is not None and self._is_granted and self._is_void(self._grant):
            self.close(WorkerLeaseEvent.INVALIDATED)

    def _is_void(self, grant: _Grant) -> bool:
        """Whether the holder resigned, or lost the right to lead."""
        claim = grant.claim.fact
        return self._claims.resignation(claim) is not None or not self._claims.may_lead(claim.author)

    def expired(self) -> None:
        """Shut the gate: no holder renewed the lease in time."""
        if self._grant is not None and self._context.now >= self._grant.expires:
            self.close(WorkerLeaseEvent.EXPIRED)

    def close(self, why: WorkerLeaseEvent = WorkerLeaseEvent.WITHDRAWN) -> None:
        """Shut the gate: it passes no streams."""
        self._context.cancel(GATE, b"")
        if self._is_granted:
            self._state_machine.on(why)
            self._context.tell(GateChanged(None))


def _is_later(request: LeaseRequest, grant: _Grant) -> bool:
    """Whether the request is later than the last granted one; each process of a leader counts anew."""
    return (request.generation, request.number) > (grant.generation, grant.number)

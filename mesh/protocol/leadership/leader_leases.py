"""The leader's side of leases: asking for the workers it wants, and knowing which it holds.

A lease counts from before it was asked for, and is taken to be shorter by the drift that clocks may have: the
leader lets go before the worker does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.protocol.base.context import Core
from mesh.protocol.base.effects import LeasesChanged
from mesh.protocol.base.transitions import Machine
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.worker_lease import Arbiter
from mesh.protocol.membership.membership import Membership
from mesh.wire.identity import NodeId
from mesh.wire.messages import LeaseGrant, LeaseRefusal, LeaseRelease, LeaseRequest

LEASE, HELD = "lease", "held"
_MAX_ASKED = 32


class Tenancy(StrEnum):
    """How a leader stands with a worker."""

    UNWANTED = "unwanted"
    ASKING = "asking"
    HOLDING = "holding"


class Step(StrEnum):
    """What happens between them."""

    WANTED = "the leader needs it"
    GRANTED = "the worker lends itself"
    LAPSED = "the lease is over by the leader's clock"
    RELEASED = "it is given back"
    UNFIT = "it is no worker any more"
    DEPOSED = "the leader leads no longer"


TENANCY: dict[tuple[Tenancy, Step], Tenancy] = {
    (Tenancy.UNWANTED, Step.WANTED): Tenancy.ASKING,
    (Tenancy.ASKING, Step.GRANTED): Tenancy.HOLDING,
    (Tenancy.HOLDING, Step.GRANTED): Tenancy.HOLDING,
    (Tenancy.HOLDING, Step.LAPSED): Tenancy.ASKING,
    (Tenancy.ASKING, Step.RELEASED): Tenancy.UNWANTED,
    (Tenancy.HOLDING, Step.RELEASED): Tenancy.UNWANTED,
    (Tenancy.ASKING, Step.UNFIT): Tenancy.UNWANTED,
    (Tenancy.HOLDING, Step.UNFIT): Tenancy.UNWANTED,
    (Tenancy.ASKING, Step.DEPOSED): Tenancy.UNWANTED,
    (Tenancy.HOLDING, Step.DEPOSED): Tenancy.UNWANTED,
}


@dataclass(slots=True)
class _Tenancy:
    """One wanted worker: what was asked of it, and until when its lease is held."""

    number: int = 0
    """Of the last request."""
    asked: dict[int, tuple[float, int]] = field(default_factory=dict)
    """When each of the last requests was made, under which term: an answer may take longer than the next."""
    until: float = float("-inf")
    term: int = 0
    """Under which its lease was granted."""
    confirmed_at: float = float("-inf")
    """When the last request was made that the worker granted."""
    machine: Machine[Tenancy, Step] = field(default_factory=lambda: Machine(TENANCY, Tenancy.UNWANTED))


class Tenancies:
    """The leases of one leader."""

    def __init__(self, core: Core, election: Election, membership: Membership, arbiter: Arbiter) -> None:
        self._core = core
        self._election = election
        self._membership = membership
        self._arbiter = arbiter
        self._wanted: dict[NodeId, _Tenancy] = {}
        self._told: frozenset[NodeId] = frozenset()
        self._numbers = 0
        self._paused_at = float("-inf")
        self.absorb: Callable[[bytes], bool] = lambda data: False

    def held(self, now: float) -> frozenset[NodeId]:
        """The workers whose lease is held at this instant."""
        if self._election.mine is None:
            return frozenset()
        return frozenset(id for id, tenancy in self._wanted.items() if now < tenancy.until)

    def confirmed(self, now: float) -> frozenset[NodeId]:
        """Of these the ones that said so since this process last stood still: others may have them by now."""
        if self._core.is_late():
            return frozenset()
        return frozenset(id for id in self.held(now) if self._wanted[id].confirmed_at > self._paused_at)

    def stalled(self) -> None:
        """This process was paused."""
        self._paused_at = self._core.now

    def forfeit(self, term: int) -> None:
        """What was granted under that term, and those before, binds nobody any longer: ask anew.

        Not here and now, for this may be the answer to another leader's request.
        """
        for id, tenancy in self._wanted.items():
            tenancy.asked = {number: asked for number, asked in tenancy.asked.items() if asked[1] > term}
            if tenancy.term <= term:
                tenancy.until = float("-inf")
                self._core.schedule(LEASE, id, self._core.now)
        self.review()

    def want(self, workers: Iterable[NodeId]) -> None:
        """The leader needs exactly these workers from now on; what it no longer needs is released."""
        if self._election.mine is None:
            return
        workers = frozenset(workers)
        self.release([id for id in self._wanted if id not in workers])
        for id in sorted(workers):
            if id not in self._wanted:
                self._wanted[id] = _Tenancy()
                self._wanted[id].machine.on(Step.WANTED)
                self.ask(id)

    def ask(self, id: NodeId) -> None:
        """Ask a worker for its lease, or for its renewal, and come back to it."""
        mine, tenancy = self._election.mine, self._wanted.get(id)
        if mine is None or tenancy is None:
            return
        settings = self._core.settings
        self._numbers += 1
        tenancy.number = self._numbers
        tenancy.asked[self._numbers] = (self._core.now, mine.fact.term)
        if len(tenancy.asked) > _MAX_ASKED:
            del tenancy.asked[next(iter(tenancy.asked))]
        former = self._election.predecessor()
        release = former.data if former is not None else b""
        request = LeaseRequest(id, self._numbers, self._membership.generation, mine.data, release)
        if id == self._core.id:
            answer = self._arbiter.request(id, request)
            if isinstance(answer, LeaseGrant):
                self.granted(id, answer)
            elif isinstance(answer, LeaseRefusal):
                self.refused(answer)
        else:
            endpoint = self._membership.endpoint(id)
            if endpoint is not None:
                self._core.send(id, endpoint, request)
        healthy = tenancy.until > self._core.now + settings.lease - settings.renew - 1.0
        self._core.schedule(LEASE, id, self._core.now + (settings.renew if healthy else settings.lease_retry))

    def granted(self, sender: NodeId, grant: LeaseGrant) -> None:
        """A worker lends itself: from when that was asked for, if no later request was answered already."""
        tenancy, mine = self._wanted.get(sender), self._election.mine
        asked = tenancy.asked.pop(grant.number, None) if tenancy is not None else None
        if tenancy is None or mine is None or asked is None or grant.term != asked[1]:
            return
        settings, asked_at = self._core.settings, asked[0]
        until = asked_at + settings.lease * (1.0 - settings.drift)
        if mine.fact.term < grant.term or until <= max(tenancy.until, self._core.now):
            return
        tenancy.machine.on(Step.GRANTED)
        tenancy.confirmed_at, tenancy.until, tenancy.term = asked_at, until, grant.term
        self._core.schedule(HELD, sender, until)
        self._core.schedule(LEASE, sender, max(self._core.now, asked_at + settings.renew))
        self.review()

    def refused(self, refusal: LeaseRefusal) -> None:
        """A worker does not: learn the claim that it names, and yield to it or outbid it."""
        self.absorb(refusal.claim)
        self._election.outranked()

    def release(self, workers: Iterable[NodeId]) -> None:
        """Give workers back; each is told, and the lease runs out where that is lost."""
        mine = self._election.mine
        given_back = [(id, self._end(id, Step.RELEASED)) for id in sorted(workers) if id in self._wanted]
        self.review()
        for id, tenancy in given_back:
            endpoint = self._membership.endpoint(id)
            if mine is None or tenancy.number == 0:
                continue
            if id == self._core.id:
                self._arbiter.released(id, tenancy.number, mine.fact.term)
            elif endpoint is not None:
                self._core.send(id, endpoint, LeaseRelease(id, tenancy.number, mine.fact.term))

    def release_unfit(self, fit: Callable[[NodeId], bool]) -> None:
        """Let go of workers that are none any more, without a word to them."""
        for id in [id for id in self._wanted if not fit(id)]:
            self._end(id, Step.UNFIT)
        self.review()

    def _end(self, id: NodeId, why: Step) -> _Tenancy:
        tenancy = self._wanted.pop(id)
        tenancy.machine.on(why)
        self._core.cancel(LEASE, id)
        self._core.cancel(HELD, id)
        return tenancy

    def review(self) -> None:
        """Tell when the set of held leases changed; forget all when this node leads no longer."""
        if self._election.mine is None:
            for id in list(self._wanted):
                self._end(id, Step.DEPOSED)
        for tenancy in self._wanted.values():
            if tenancy.machine.state is Tenancy.HOLDING and self._core.now >= tenancy.until:
                tenancy.machine.on(Step.LAPSED)
        held = self.held(self._core.now)
        if held != self._told:
            self._told = held
            self._core.tell(LeasesChanged(held))

"""The consequences of lost rights: every node forgets a member that is out of the pool at once."""

from __future__ import annotations

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import Expelled, MemberLost
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.leader_leases import LeaderLeases
from mesh.protocol.leadership.worker_lease import WorkerLease
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.probes import Prober
from mesh.protocol.trust.roster import Roster
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights


class Expulsion:
    """Makes the parts of one Node follow its roster."""

    def __init__(
        self,
        context: Context,
        roster: Roster,
        store: FactStore,
        validator: FactValidator,
        membership: Membership,
        prober: Prober,
        election: Election,
        worker_lease: WorkerLease,
        leader_leases: LeaderLeases,
    ) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._validator = validator
        self._membership = membership
        self._prober = prober
        self._election = election
        self._worker_lease = worker_lease
        self._leader_leases = leader_leases
        self.expelled = False
        """Whether this node was a member of its pool and is none any more."""

    def enforce(self) -> None:
        """Members lost rights: drop facts that they may not sign, forget and cut off those that are out."""
        context, roster = self._context, self._roster
        lost = [id for id in self._membership.peers if id not in roster]
        events = [MemberLost(id, self._name(id), *self._evicted_by(id)) for id in sorted(lost)]
        expelled = Expelled(*self._evicted_by(context.id)) if context.id not in roster else None
        self._store.retain(self._validator.allows)
        for id in self._store.subjects():  # reaped members are no peers, but among these
            if id not in roster and id != context.id:
                self._store.forget(id)
        for id in lost:
            self._membership.forget(id)
            self._prober.forget(id)
        self._membership.clear_unsuspected()
        if expelled is not None and not self.expelled:
            self._withdraw()
            context.tell(expelled)
        elif Rights.LEAD not in roster.rights(context.id):
            self._election.step_down()
        for event in events:
            context.tell(event)
        if Rights.WORK not in roster.rights(context.id):
            self._worker_lease.close()
        self._leader_leases.release_unfit(lambda id: Rights.WORK in roster.rights(id))
        context.leadership_dirty = context.members_changed = True

    def _withdraw(self) -> None:
        """Take no further part: what this node signs from now on is void."""
        self.expelled = True
        self._election.depose()
        self._leader_leases.review()
        self._worker_lease.close()
        self._prober.stop()

    def _name(self, id: NodeId) -> str:
        record = self._store.get(Record, id)
        return record.fact.profile.name if record is not None else ""

    def _evicted_by(self, id: NodeId) -> tuple[NodeId | None, str]:
        """The owner that evicted the member (None: no eviction did), and that owner's name."""
        eviction = self._roster.evicted.get(id)
        return (None, "") if eviction is None else (eviction.fact.author, self._name(eviction.fact.author))

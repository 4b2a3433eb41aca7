"""What follows when rights are lost: whoever is out is forgotten at once, here as everywhere."""

from __future__ import annotations

from mesh.protocol.base.context import Core
from mesh.protocol.base.effects import Expelled, MemberLost
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import Intake
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.leader_leases import Tenancies
from mesh.protocol.leadership.worker_lease import Arbiter
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
        core: Core,
        roster: Roster,
        store: FactStore,
        intake: Intake,
        membership: Membership,
        prober: Prober,
        election: Election,
        arbiter: Arbiter,
        tenancies: Tenancies,
    ) -> None:
        self._core = core
        self._roster = roster
        self._store = store
        self._intake = intake
        self._membership = membership
        self._prober = prober
        self._election = election
        self._arbiter = arbiter
        self._tenancies = tenancies
        self.expelled = False
        """Whether this very node was a member of its pool and is none any more."""

    def enforce(self) -> None:
        """Someone lost rights: drop what it had no right to say, forget who is out, cut it off."""
        core, roster = self._core, self._roster
        lost = [id for id in self._membership.peers if id not in roster]
        events = [MemberLost(id, self._name(id), *self._by(id)) for id in sorted(lost)]
        expelled = Expelled(*self._by(core.id)) if core.id not in roster else None
        self._store.retain(self._intake.allows)
        for id in self._store.subjects():  # who was forgotten long ago is no peer, but among these
            if id not in roster and id != core.id:
                self._store.forget(id)
        for id in lost:
            self._membership.forget(id)
            self._prober.forget(id)
        self._membership.acquit_unaccused()
        if expelled is not None and not self.expelled:
            self._withdraw()
            core.tell(expelled)
        elif Rights.LEAD not in roster.rights(core.id):
            self._election.step_down()
        for event in events:
            core.tell(event)
        if Rights.WORK not in roster.rights(core.id):
            self._arbiter.close()
        self._tenancies.release_unfit(lambda id: Rights.WORK in roster.rights(id))
        core.stirred = core.members_changed = True

    def _withdraw(self) -> None:
        """Take no further part: what this node signs now counts for nobody."""
        self.expelled = True
        self._election.depose()
        self._tenancies.review()
        self._arbiter.close()
        self._prober.stop()

    def _name(self, id: NodeId) -> str:
        record = self._store.get(Record, id)
        return record.fact.profile.name if record is not None else ""

    def _by(self, id: NodeId) -> tuple[NodeId | None, str]:
        """Who evicted it, and how that one calls itself."""
        eviction = self._roster.evicted.get(id)
        return (None, "") if eviction is None else (eviction.fact.author, self._name(eviction.fact.author))

"""The parts of a Node and how they are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.protocol.base.context import NO_POOL, Core
from mesh.protocol.dissemination.bootstrap import Introductions
from mesh.protocol.dissemination.gossip import Gossip
from mesh.protocol.dissemination.reaping import Reaper
from mesh.protocol.facts.owner_acts import Owner
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import Intake
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.leader_leases import Tenancies
from mesh.protocol.leadership.reports import Reports
from mesh.protocol.leadership.worker_lease import Arbiter
from mesh.protocol.limits.rate_limits import Budgets
from mesh.protocol.limits.replays import Replays
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.probes import Prober
from mesh.protocol.node.expulsion import Expulsion
from mesh.protocol.trust.roster import Roster
from mesh.wire.facts import Signed
from mesh.wire.identity import PoolId


class Parts:
    """One of each, built from the ground up; ``on_new`` hears of every fact that changed the store."""

    def __init__(self, core: Core, on_new: Callable[[Signed[Any]], None]) -> None:
        self.core = core
        self.budgets = Budgets()
        self.replays = Replays()
        self.roster = Roster(NO_POOL)
        self.store = FactStore(core.settings.accusers)
        self.intake = Intake(core, self.roster, self.store, lambda: self.election.term_limit(), on_new)
        publish, absorb = self.intake.publish, self.intake.absorb
        self.membership = Membership(core, self.roster, self.store, publish)
        self.prober = Prober(core, self.store, self.membership)
        self.gossip = Gossip(core, self.store, self.membership)
        self.election = Election(core, self.roster, self.store, self.membership, publish)
        self.arbiter = Arbiter(core, self.election, self.membership)
        self.tenancies = Tenancies(core, self.election, self.membership, self.arbiter)
        self.introductions = Introductions(core, self.roster, self.store, self.membership, self.intake)
        self.reaper = Reaper(core, self.membership, self.prober, self.introductions)
        self.owner = Owner(core, self.roster, self.store, self.intake.take)
        self.expulsion = Expulsion(
            core,
            self.roster,
            self.store,
            self.intake,
            self.membership,
            self.prober,
            self.election,
            self.arbiter,
            self.tenancies,
        )
        self.reports = Reports(core, self.membership, self.election, publish)
        self.election.serves = lambda: self.reports.serves(self.tenancies.confirmed(core.now))
        self.election.on_bid, self.election.on_void = self.reports.restate, self.tenancies.forfeit
        self.intake.may_leap = self.election.may_leap
        self.election.absorb = self.arbiter.absorb = self.tenancies.absorb = absorb
        self.membership.on_outrun = self._outrun
        self.intake.on_shift, self.intake.on_term = self.expulsion.enforce, self.election.raise_term
        self.intake.on_lapsed, self.intake.on_kept = self.membership.accused, self.gossip.came
        self.membership.on_gone = self.election.reconsider

    def _outrun(self, generation: int) -> None:
        self.reports.overtake(generation)
        self.tenancies.forfeit(self.election.highest)  # workers will take this process for another one

    def form(self, pool: PoolId) -> None:
        """All parts are of this pool from now on."""
        self.core.pool = self.roster.pool = pool

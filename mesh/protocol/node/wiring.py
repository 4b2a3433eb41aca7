"""The parts of a Node and how they are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.protocol.base.context import NO_POOL, Context
from mesh.protocol.dissemination.bootstrap import Bootstrap
from mesh.protocol.dissemination.gossip import Gossip
from mesh.protocol.dissemination.reaping import Reaper
from mesh.protocol.facts.owner_acts import Owner
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.leader_leases import LeaderLeases
from mesh.protocol.leadership.reports import Reports
from mesh.protocol.leadership.worker_lease import WorkerLease
from mesh.protocol.limits.rate_limits import RateLimits
from mesh.protocol.limits.replays import Replays
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.probes import Prober
from mesh.protocol.node.expulsion import Expulsion
from mesh.protocol.trust.roster import Roster
from mesh.wire.facts import Signed
from mesh.wire.identity import PoolId


class Parts:
    """One of each, built from the ground up; ``on_new`` hears of every fact that changed the store."""

    def __init__(self, context: Context, on_new: Callable[[Signed[Any]], None]) -> None:
        self.context = context
        self.rate_limits = RateLimits()
        self.replays = Replays()
        self.roster = Roster(NO_POOL)
        self.store = FactStore(context.settings.suspectors)
        self.validator = FactValidator(
            context, self.roster, self.store, lambda: self.election.term_limit(), on_new
        )
        publish, absorb = self.validator.publish, self.validator.absorb
        self.membership = Membership(context, self.roster, self.store, publish)
        self.prober = Prober(context, self.store, self.membership)
        self.gossip = Gossip(context, self.store, self.membership)
        self.election = Election(context, self.roster, self.store, self.membership, publish)
        self.worker_lease = WorkerLease(context, self.election, self.membership)
        self.leader_leases = LeaderLeases(context, self.election, self.membership, self.worker_lease)
        self.bootstrap = Bootstrap(context, self.roster, self.store, self.membership, self.validator)
        self.reaper = Reaper(context, self.membership, self.prober, self.bootstrap)
        self.owner = Owner(context, self.roster, self.store, self.validator.take)
        self.expulsion = Expulsion(
            context,
            self.roster,
            self.store,
            self.validator,
            self.membership,
            self.prober,
            self.election,
            self.worker_lease,
            self.leader_leases,
        )
        self.reports = Reports(context, self.membership, self.election, publish)
        self.election.serves = lambda: self.reports.serves(self.leader_leases.confirmed(context.now))
        self.election.on_bid, self.election.on_void = self.reports.restate, self.leader_leases.invalidate
        self.validator.may_leap = self.election.may_leap
        self.election.absorb = self.worker_lease.absorb = self.leader_leases.absorb = absorb
        self.membership.on_outrun = self._outrun
        self.validator.on_shift, self.validator.on_term = self.expulsion.enforce, self.election.raise_term
        self.validator.on_lapsed, self.validator.on_kept = self.membership.suspected, self.gossip.came
        self.membership.on_gone = self.election.reconsider

    def _outrun(self, generation: int) -> None:
        self.reports.advance_generation(generation)
        self.leader_leases.invalidate(self.election.highest)  # workers will take this process for another one

    def form(self, pool: PoolId) -> None:
        """All parts are of this pool from now on."""
        self.context.pool = self.roster.pool = pool

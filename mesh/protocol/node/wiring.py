"""The parts of a Node, each built from those below it."""

from __future__ import annotations

from mesh.protocol.base.context import NO_POOL, Context
from mesh.protocol.dissemination.bootstrap import Bootstrap
from mesh.protocol.dissemination.gossip import Gossip
from mesh.protocol.dissemination.reaping import Reaper
from mesh.protocol.facts.owner_acts import Owner
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.claims import Claims
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.leader_leases import LeaderLeases
from mesh.protocol.leadership.reports import Reports
from mesh.protocol.leadership.worker_lease import WorkerLease
from mesh.protocol.limits.rate_limits import RateLimits
from mesh.protocol.limits.replays import Replays
from mesh.protocol.limits.term_limit import TermLimit
from mesh.protocol.membership.form_choice import FormChoice
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.older_sets import OlderSets
from mesh.protocol.membership.probes import Prober
from mesh.protocol.node.expulsion import Expulsion
from mesh.protocol.trust.roster import Roster
from mesh.wire.identity import NodeId, PoolId


class Parts:
    """One of each. A part calls those that its constructor takes; for others it emits an event."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.rate_limits = RateLimits()
        self.replays = Replays()
        self.roster = Roster(NO_POOL)
        self.store = store = FactStore(context.settings.suspectors)
        present: set[NodeId] = set()
        self.terms = TermLimit(context, present)
        self.validator = validator = FactValidator(context, self.roster, store, self.terms)
        self.owner = Owner(context, self.roster, store, validator)
        self.membership = membership = Membership(context, self.roster, store, validator, present)
        self.older_sets = OlderSets(context, store, membership)
        self.prober = Prober(context, self.roster, membership, self.older_sets)
        self.form_choice = FormChoice(context, membership)
        self.gossip = Gossip(context, self.rate_limits, store, validator, membership, self.older_sets)
        self.bootstrap = Bootstrap(context, self.roster, store, validator, membership, self.gossip)
        self.reaper = Reaper(context, membership, self.prober, self.bootstrap)
        self.claims = claims = Claims(context, self.roster, store, membership)
        self.worker_lease = WorkerLease(context, self.roster, validator, membership, claims)
        self.leader_leases = LeaderLeases(context, validator, membership, claims, self.worker_lease)
        self.election = Election(
            context,
            self.roster,
            store,
            self.terms,
            validator,
            membership,
            claims,
            self.worker_lease,
            self.leader_leases,
        )
        self.reports = Reports(context, validator, membership, claims, self.leader_leases, self.election)
        self.expulsion = Expulsion(
            context,
            self.roster,
            store,
            validator,
            membership,
            self.prober,
            self.election,
            self.worker_lease,
            self.leader_leases,
        )

    def form(self, pool: PoolId) -> None:
        """Make all parts belong to this pool from now on."""
        self.context.pool = self.roster.pool = pool

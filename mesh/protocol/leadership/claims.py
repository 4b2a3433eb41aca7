"""Which claims to lead are in force in one member's view; the election and both sides of leases use it."""

from __future__ import annotations

from mesh.protocol.base.context import Context
from mesh.protocol.facts.store import FactStore
from mesh.protocol.membership.membership import Membership
from mesh.protocol.trust.roster import Roster
from mesh.wire.facts import Claim, Resignation
from mesh.wire.identity import NodeId
from mesh.wire.signed_facts import Signed


class Claims:
    """Judges the claims in the store by resignations, rights and membership."""

    def __init__(self, context: Context, roster: Roster, store: FactStore, membership: Membership) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._membership = membership
        self.mine: Signed[Claim] | None = None
        """The claim by which this node leads; the election alone sets it."""

    def leader(self) -> Signed[Claim] | None:
        """The highest claim in force: of a present member with the right to lead that did not resign."""
        best: Signed[Claim] | None = None
        for signed in self._store.all(Claim):
            claim: Claim = signed.fact
            if (best is None or claim.order > best.fact.order) and self._is_valid(claim):
                best = signed
        return best

    def _is_valid(self, claim: Claim) -> bool:
        if claim.author == self._context.id and (self.mine is None or self.mine.fact != claim):
            return False
        return (
            self._membership.is_present(claim.author)
            and claim.author in self._roster.leaders
            and self.resignation(claim) is None
        )

    def resignation(self, claim: Claim) -> Signed[Resignation] | None:
        """The resignation that ended this claim, if any."""
        signed = self._store.get(Resignation, claim.author)
        return signed if signed is not None and signed.fact.term >= claim.term else None

    def predecessor(self) -> Signed[Resignation] | None:
        """The resignation of the last leader before this node's own claim."""
        mine = self.mine
        past = [s for s in self._store.all(Resignation) if mine is not None and s.fact.term < mine.fact.term]
        return max(past, key=lambda signed: (signed.fact.term, signed.fact.author), default=None)

    def may_lead(self, id: NodeId) -> bool:
        """Whether a member has the right to lead."""
        return id in self._roster.leaders

"""The only way for facts into the store: decode, check the author's right, verify the signature, merge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.protocol.base.context import Context
from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.internal_events import FactDeferred, FactStored, RightsLost, StaleSuspicionHeard
from mesh.protocol.facts.pending import PendingFacts
from mesh.protocol.facts.store import EQUIVOCATION, NEW, FactStore
from mesh.protocol.limits.term_limit import TermLimit
from mesh.protocol.trust.roster import Roster
from mesh.wire.errors import DecodeError
from mesh.wire.facts import (
    Claim,
    Deployment,
    Eviction,
    Fact,
    PoolEngine,
    PoolState,
    Resignation,
    Suspicion,
    Voucher,
)
from mesh.wire.identity import id_text
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed

_NEEDS: dict[int, Rights] = {
    Deployment.kind: Rights.OWN,
    PoolEngine.kind: Rights.OWN,
    Claim.kind: Rights.LEAD,
    Resignation.kind: Rights.LEAD,
    PoolState.kind: Rights.LEAD,
}


class FactValidator:
    """Validates facts, takes them into the store, and emits what follows for other parts.

    A fact whose author is not vouched for yet is pending, within bounds, until the voucher comes.
    """

    def __init__(self, context: Context, roster: Roster, store: FactStore, terms: TermLimit) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._terms = terms
        self._suspicions = 0
        self._pending_facts = PendingFacts()

    @property
    def pending(self) -> int:
        """How many facts are pending until their author is vouched for."""
        return len(self._pending_facts)

    def publish(self, fact: Fact, form: int | None = None) -> Signed[Any]:
        """Sign a fact of one's own, in that form or that of the time, and take it in."""
        signed: Signed[Any] = self._context.sign(fact, form)
        self.take(signed)
        return signed

    def absorb_all(self, facts: Iterable[bytes], source: object = None) -> None:
        """Take in facts; stop at the first that is malformed or forged, for then the source lies.

        Vouchers and evictions come first, for the validity of the others depends on them. ``source``: the
        member or the host that handed them over, for the number of pending facts is bounded for each.
        """
        decoded: list[Signed[Any]] = []
        for data in facts:
            try:
                decoded.append(self._context.read(data))
            except DecodeError:
                self._refuse(DropReason.MALFORMED_FACT, source)
                break
        for signed in sorted(decoded, key=lambda signed: not _is_act(signed)):
            if not self._consider(signed, source):
                return

    def absorb(self, data: bytes, source: object = None) -> bool:
        """Take in one fact; False when it is malformed, foreign, forged or leaps, or evicts its author."""
        try:
            signed = self._context.read(data)
        except DecodeError:
            return self._refuse(DropReason.MALFORMED_FACT, source)
        return self._consider(signed, source)

    def _refuse(self, why: DropReason, sender: object) -> bool:
        self._context.drops.count(why, id_text(sender) if isinstance(sender, bytes) else sender)
        return False

    def _consider(self, signed: Signed[Any], source: object) -> bool:
        fact: Fact = signed.fact
        if fact.pool != self._roster.pool:
            return self._refuse(DropReason.FOREIGN_FACT, source)
        if isinstance(fact, Voucher | Eviction):
            return self._consider_act(signed, source)
        if self._has_lost_the_right(fact):
            return self._raise_term(signed, source)
        suspected = isinstance(fact, Suspicion) and fact.subject == self._context.id
        if not self._store.would_change(signed):
            if suspected:
                self._count_stale_suspicion(signed)
            return True
        key = self._roster.key(fact.author)
        if key is None or not self.allows(signed):
            if key is not None:
                self._refuse(DropReason.UNAUTHORISED_FACT, fact.author)
            return self._defer(signed, source)
        if not signed.proven_by(key, self._context.verifier):
            return self._refuse(DropReason.FORGED_FACT, source)
        if isinstance(fact, Claim) and not self._terms.admits(fact.term, source):
            self._context.notice("warning", f"Refused a claim of {id_text(fact.author)}: its term leaps")
            return self._refuse(DropReason.LEAPING_CLAIM, fact.author)
        self._suspicions += suspected
        if suspected:
            self._context.drops.count(DropReason.ACCUSATION, id_text(fact.author))
        self.take(signed)
        return True

    def _consider_act(self, signed: Signed[Any], source: object) -> bool:
        """Take in an act of an owner, past or present: the roster decides whether it is valid."""
        fact, roster = signed.fact, self._roster
        if roster.knows(signed):
            return True
        founding = isinstance(fact, Voucher) and roster.is_founding(fact)
        key = fact.key if founding else roster.past_key(fact.author)
        rights = roster.rights(fact.author) if fact.author in roster else roster.past_rights(fact.author)
        if key is None or not (founding or Rights.OWN in rights) or not roster.takes(fact):
            if key is not None:
                self._refuse(DropReason.UNAUTHORISED_FACT, fact.author)
            return self._defer(signed, source)
        if isinstance(fact, Eviction) and fact.subject == fact.author:
            return False
        if not signed.proven_by(key, self._context.verifier):
            return self._refuse(DropReason.FORGED_FACT, source)
        self.take(signed)
        return True

    def _has_lost_the_right(self, fact: Fact) -> bool:
        """Whether the author was evicted, or had the right to say this once and lost it."""
        needed = _NEEDS.get(fact.kind, Rights(0))
        if self._roster.rights(fact.author) & needed == needed and fact.author in self._roster:
            return False
        lost = isinstance(fact, Claim) and Rights.LEAD in self._roster.past_rights(fact.author)
        return lost or fact.author in self._roster.evicted

    def _defer(self, signed: Signed[Any], source: object) -> bool:
        if self._pending_facts.keep(signed, source):
            self._context.emit(FactDeferred(signed.key, source))
        return True

    def _raise_term(self, signed: Signed[Any], source: object) -> bool:
        """Keep nothing but a claim's term: a worker may be bound in it, so later claims must exceed it."""
        fact = signed.fact
        key = self._roster.past_key(fact.author)
        self._refuse(DropReason.UNAUTHORISED_FACT, fact.author)
        if isinstance(fact, Claim) and key is not None and self._terms.highest < fact.term:
            if not signed.proven_by(key, self._context.verifier):
                return self._refuse(DropReason.FORGED_FACT, source)
            if self._terms.admits(fact.term, source):
                self._terms.raise_to(fact.term)
        return True

    def _count_stale_suspicion(self, signed: Signed[Suspicion]) -> None:
        """Count a suspicion that this node has refuted already: flap detection counts its suspectors too."""
        key = self._roster.key(signed.fact.author)
        if key is not None and signed.proven_by(key, self._context.verifier):
            self._suspicions += 1
            self._context.emit(StaleSuspicionHeard(signed.fact))

    def take_suspicions(self) -> int:
        """How many suspicions of this node came since the last call."""
        count, self._suspicions = self._suspicions, 0
        return count

    def allows(self, signed: Signed[Any]) -> bool:
        """Whether the store may hold a fact: its author has the right to it, or it is a relevant act."""
        fact = signed.fact
        if isinstance(fact, Voucher | Eviction):
            return self._roster.is_relevant(signed)
        needed = _NEEDS.get(fact.kind, Rights(0))
        return fact.author in self._roster and self._roster.rights(fact.author) & needed == needed

    def take(self, signed: Signed[Any]) -> None:
        """Merge a fact that is proven and allowed; of acts only the relevant ones."""
        if not isinstance(signed.fact, Voucher | Eviction):
            self._merge(signed)
            return
        self._roster.add(signed)
        if self._roster.is_relevant(signed):
            self._merge(signed)
        if self._roster.changed:
            self._roster.changed = False
            for act in self._roster.relevant():
                if act.key not in self._store:
                    self._merge(act)
            self._pending_facts.drop(self._roster.evicted)
            self._context.emit(RightsLost())
        self._adopt()

    def _merge(self, signed: Signed[Any]) -> None:
        outcome = self._store.offer(signed)
        if outcome == EQUIVOCATION:
            self._refuse(DropReason.EQUIVOCATION, signed.fact.author)
            self._context.notice(
                "warning", f"{id_text(signed.fact.author)} said two things at once: kept as proof"
            )
        own = signed.fact.author == self._context.id
        if outcome == NEW or (outcome == EQUIVOCATION and (own or self._holds(signed))):
            self._context.emit(FactStored(signed))

    def _holds(self, signed: Signed[Any]) -> bool:
        held = self._store.entry(signed.key)
        return held is not None and held.signed.data == signed.data

    def _adopt(self) -> None:
        """After an act: try again the pending facts of present members, which may have the right by now."""
        for signed, source in self._pending_facts.adopt(self._roster):
            self._consider(signed, source)


def _is_act(signed: Signed[Any]) -> bool:
    return isinstance(signed.fact, Voucher | Eviction)

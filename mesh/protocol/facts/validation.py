"""The one door through which facts come in: decoded, proven, allowed to their author, then merged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.protocol.base.context import Context
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
    PoolState,
    Resignation,
    Signed,
    Suspicion,
    Voucher,
    decode,
    sign,
)
from mesh.wire.identity import id_text
from mesh.wire.rights import Rights

_NEEDS: dict[int, Rights] = {
    Deployment.kind: Rights.OWN,
    Claim.kind: Rights.LEAD,
    Resignation.kind: Rights.LEAD,
    PoolState.kind: Rights.LEAD,
}


class FactValidator:
    """Takes facts into the store, and emits what follows for other parts.

    A fact whose author is not vouched yet waits, in a bounded place, for the voucher.
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
        """How many facts wait for the voucher of their author."""
        return len(self._pending_facts)

    def publish(self, fact: Fact) -> Signed[Any]:
        """Sign a fact of one's own and take it in."""
        signed: Signed[Any] = sign(fact, self._context.signer)
        self.take(signed)
        return signed

    def absorb_all(self, facts: Iterable[bytes], source: object = None) -> None:
        """Take in facts; stops at the first that is no fact or not proven, for whoever sent it lies.

        Vouchers and evictions come first, for what the others are worth hangs on them. ``giver``: the member
        or the host that they came from, for what has to wait is bounded for each.
        """
        decoded: list[Signed[Any]] = []
        for data in facts:
            try:
                decoded.append(decode(data))
            except DecodeError:
                self._refuse("malformed_fact", source)
                break
        for signed in sorted(decoded, key=lambda signed: not _is_act(signed)):
            if not self._consider(signed, source):
                return

    def absorb(self, data: bytes, source: object = None) -> bool:
        """Take in one fact; False when it is malformed, foreign, forged or not its author's to say."""
        try:
            signed = decode(data)
        except DecodeError:
            return self._refuse("malformed_fact", source)
        return self._consider(signed, source)

    def _refuse(self, why: str, whom: object) -> bool:
        self._context.drops.count(why, id_text(whom) if isinstance(whom, bytes) else whom)
        return False

    def _consider(self, signed: Signed[Any], source: object) -> bool:
        fact: Fact = signed.fact
        if fact.pool != self._roster.pool:
            return self._refuse("foreign_fact", source)
        if isinstance(fact, Voucher | Eviction):
            return self._consider_act(signed, source)
        if self._may_no_longer(fact):
            return self._raise_term(signed, source)
        suspected = isinstance(fact, Suspicion) and fact.subject == self._context.id
        if not self._store.would_change(signed):
            if suspected:
                self._lapsed(signed)
            return True
        key = self._roster.key(fact.author)
        if key is None or not self.allows(signed):
            if key is not None:
                self._refuse("unauthorised_fact", fact.author)
            return self._wait(signed, source)
        if not signed.proven_by(key, self._context.verifier):
            return self._refuse("forged_fact", source)
        if isinstance(fact, Claim) and not self._terms.admits(fact.term, source):
            self._context.notice("warning", f"A claim of {id_text(fact.author)} leaps too far ahead: refused")
            return self._refuse("leaping_claim", fact.author)
        self._suspicions += suspected
        if suspected:
            self._context.drops.count("accusation", id_text(fact.author))
        self.take(signed)
        return True

    def _consider_act(self, signed: Signed[Any], source: object) -> bool:
        """An owner's act, or one of who was an owner: what it counts for is the roster's to say."""
        fact, roster = signed.fact, self._roster
        if roster.knows(signed):
            return True
        founding = isinstance(fact, Voucher) and roster.is_founding(fact)
        key = fact.key if founding else roster.past_key(fact.author)
        rights = roster.rights(fact.author) if fact.author in roster else roster.past_rights(fact.author)
        if key is None or not (founding or Rights.OWN in rights) or not roster.takes(fact):
            if key is not None:
                self._refuse("unauthorised_fact", fact.author)
            return self._wait(signed, source)
        if isinstance(fact, Eviction) and fact.subject == fact.author:
            return False
        if not signed.proven_by(key, self._context.verifier):
            return self._refuse("forged_fact", source)
        self.take(signed)
        return True

    def _may_no_longer(self, fact: Fact) -> bool:
        """Whether the author was evicted, or had the right to say this once and lost it."""
        needed = _NEEDS.get(fact.kind, Rights(0))
        if self._roster.rights(fact.author) & needed == needed and fact.author in self._roster:
            return False
        lost = isinstance(fact, Claim) and Rights.LEAD in self._roster.past_rights(fact.author)
        return lost or fact.author in self._roster.evicted

    def _wait(self, signed: Signed[Any], source: object) -> bool:
        if self._pending_facts.keep(signed, source):
            self._context.emit(FactDeferred(signed.key, source))
        return True

    def _raise_term(self, signed: Signed[Any], source: object) -> bool:
        """Nothing of it is kept; but a worker may be bound in that term, so whoever claims goes beyond it."""
        fact = signed.fact
        key = self._roster.past_key(fact.author)
        self._refuse("unauthorised_fact", fact.author)
        if isinstance(fact, Claim) and key is not None and self._terms.highest < fact.term:
            if not signed.proven_by(key, self._context.verifier):
                return self._refuse("forged_fact", source)
            if self._terms.admits(fact.term, source):
                self._terms.raise_to(fact.term)
        return True

    def _lapsed(self, signed: Signed[Suspicion]) -> None:
        """An accusation of this very node that it refuted already: still it counts how many there are."""
        key = self._roster.key(signed.fact.author)
        if key is not None and signed.proven_by(key, self._context.verifier):
            self._suspicions += 1
            self._context.emit(StaleSuspicionHeard(signed.fact))

    def take_suspicions(self) -> int:
        """How many accusations of this very node came since the last call."""
        count, self._suspicions = self._suspicions, 0
        return count

    def allows(self, signed: Signed[Any]) -> bool:
        """Whether a fact may be held: said by a member who has the right to, or an act that matters."""
        fact = signed.fact
        if isinstance(fact, Voucher | Eviction):
            return self._roster.is_relevant(signed)
        needed = _NEEDS.get(fact.kind, Rights(0))
        return fact.author in self._roster and self._roster.rights(fact.author) & needed == needed

    def take(self, signed: Signed[Any]) -> None:
        """Merge a fact that is proven and allowed; of acts those that matter."""
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
            self._refuse("equivocation", signed.fact.author)
            self._context.notice(
                "warning", f"{id_text(signed.fact.author)} said two things at once: kept as proof"
            )
        own = signed.fact.author == self._context.id
        if outcome == NEW or (outcome == EQUIVOCATION and (own or self._holds(signed))):
            self._context.emit(FactStored(signed))

    def _holds(self, signed: Signed[Any]) -> bool:
        fact = signed.fact
        held = self._store.get(type(fact), fact.author, fact.place)
        return held is not None and held.data == signed.data

    def _adopt(self) -> None:
        """After a voucher: try again what waited for its subject, or for rights that it has now."""
        for signed, source in self._pending_facts.adopt(self._roster):
            self._consider(signed, source)


def _is_act(signed: Signed[Any]) -> bool:
    return isinstance(signed.fact, Voucher | Eviction)

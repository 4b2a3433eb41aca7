"""The members of the pool: the subjects that valid acts of its owners vouch for and do not evict.

Which acts are valid is a pure function of their set (`mesh.protocol.trust.revocation`), whatever their order.
The roster remembers revoked acts as well, within a bound: the eviction that revoked them may itself be
revoked later.
"""

from __future__ import annotations

from typing import Any

from mesh.protocol.trust.acts import Acts, is_founding
from mesh.protocol.trust.revocation import MAX_CHAIN as MAX_CHAIN
from mesh.protocol.trust.revocation import CandidateWorld, Vouched, resolve_revocations
from mesh.wire.facts import Eviction, Voucher
from mesh.wire.identity import NodeId, PoolId, node_id
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed

MAX_VOUCHERS = 16384
MAX_EVICTIONS = 4096
MAX_CONTESTED = 64
"""So many evictions by an author that is no member any more are taken: each costs a full resolution."""
MAX_REVOKED = 4096


class Roster:
    """The members and the evicted of one pool."""

    def __init__(self, pool: PoolId) -> None:
        self.pool = pool
        self.members: dict[NodeId, Vouched] = {}
        self.leaders: set[NodeId] = set()
        """The members with the right to lead."""
        self.evicted: dict[NodeId, Signed[Eviction]] = {}
        """The eviction of each evicted subject."""
        self.changed = False
        """Whether a member lost rights, or the relevant acts changed; the caller clears it."""
        self._acts = Acts()
        self._world = CandidateWorld(pool, self._acts, {}, frozenset())
        self._contested: set[bytes] = set()
        """The revoked acts that are relevant all the same."""
        self._missing: set[bytes] = set()
        self._revoked: dict[bytes, Signed[Any]] = {}

    def __contains__(self, id: object) -> bool:
        return id in self.members

    def takes(self, act: Voucher | Eviction) -> bool:
        """Whether there is room for the act: the number of members bounds all that a node keeps for each."""
        if isinstance(act, Eviction):
            evictions = self._acts.evictions
            by_author = sum(signed.fact.author == act.author for signed in evictions.values())
            contested = act.author not in self.members and by_author >= MAX_CONTESTED
            return len(evictions) < MAX_EVICTIONS and not contested
        return len(self._acts) - len(self._revoked) < MAX_VOUCHERS

    def is_founding(self, voucher: Voucher) -> bool:
        """Whether this is the voucher by which the founder vouches for itself."""
        return is_founding(self.pool, voucher)

    def key(self, id: NodeId) -> bytes | None:
        """The public key of a present member."""
        member = self.members.get(id)
        return member.key if member else None

    def past_key(self, id: NodeId) -> bytes | None:
        """The public key of the subject of any voucher, valid or revoked; None for others."""
        return self._acts.keys.get(id)

    def past_rights(self, id: NodeId) -> Rights:
        """The sum of the rights of all its vouchers, valid or revoked."""
        return self._acts.rights.get(id, Rights(0))

    def rights(self, id: NodeId) -> Rights:
        member = self.members.get(id)
        return member.rights if member else Rights(0)

    def knows(self, act: Signed[Any]) -> bool:
        """Whether the roster holds the act, valid or revoked."""
        return act in self._acts

    def is_valid(self, act: Signed[Any]) -> bool:
        """Whether the roster holds the act and it is valid."""
        return act in self._acts and act.hash not in self._revoked

    def is_relevant(self, act: Signed[Any]) -> bool:
        """Whether an act is valid, or others' validity depends on it, so that all members need it."""
        return self.is_valid(act) or act.hash in self._contested

    def relevant(self) -> list[Signed[Any]]:
        """All relevant acts."""
        return [signed for signed in self._acts.every() if self.is_relevant(signed)]

    def add(self, signed: Signed[Any]) -> None:
        """Take in an act with a valid signature."""
        if signed in self._acts:
            return
        fact = signed.fact
        subject = node_id(fact.key) if isinstance(fact, Voucher) else None
        leaf = (
            subject is not None
            and subject not in self.members
            and subject not in self.evicted
            and not self._acts.has_acted(subject)
            and signed.hash not in self._missing
        )
        self._acts.add(signed)
        author = self.members.get(fact.author)
        if not leaf or self._contested or self.is_founding(fact):
            self._rebuild()
        elif author is None or Rights.OWN not in author.rights or author.depth >= MAX_CHAIN:
            self._revoke(signed)
        else:
            assert subject is not None
            self._place(subject, Vouched(fact.key, fact.rights, author.depth + 1, signed))
            if Rights.OWN in fact.rights:
                self._world.owners[subject] = (author.depth + 1, signed)

    def chain(self, id: NodeId) -> list[bytes]:
        """The signed vouchers from the founder's own to the member's; empty for a stranger."""
        member = self.members.get(id)
        if member is None:
            return []
        links = [member.by]
        if not self.is_founding(member.by.fact):
            links += self._world.path(member.by.fact.author)
        return [link.data for link in links[::-1]]

    def acts(self) -> list[bytes]:
        """All acts as signed bytes: each is proven by those before it, and the revoked ones are last."""
        depths = {id: depth for id, (depth, _) in self._world.owners.items()}

        def order(signed: Signed[Any]) -> tuple[bool, int, int, NodeId, int]:
            fact = signed.fact
            return (
                not self.is_valid(signed),
                fact.kind,
                depths.get(fact.author, 99),
                fact.author,
                fact.number,
            )

        return [signed.data for signed in sorted(self._acts.every(), key=order)]

    def tips(self, author: NodeId) -> list[Signed[Any]]:
        """The last valid acts of an owner, one for each branch of its chain, the longest branch first."""
        return [tip for tip in self._acts.tips(author) if self.is_valid(tip)]

    def after(self, signed: Signed[Any]) -> Roster:
        """The roster as it would be with one more act."""
        other = Roster(self.pool)
        for act in self._acts.every():
            other._acts.add(act)
        other._acts.add(signed)
        other._rebuild()
        return other

    def _place(self, id: NodeId, member: Vouched) -> None:
        self.members[id] = member
        if Rights.LEAD in member.rights:
            self.leaders.add(id)

    def _revoke(self, signed: Signed[Any]) -> None:
        self._revoked[signed.hash] = signed
        if len(self._revoked) > MAX_REVOKED:
            surplus = max(self._revoked.values(), key=lambda act: (act.fact.number, act.hash))
            del self._revoked[surplus.hash]
            self._acts.drop(surplus)
            self._contested.discard(surplus.hash)
            self.changed |= surplus is not signed

    def _rebuild(self) -> None:
        """Resolve anew which acts are valid."""
        before, revoked, contested = self.members, self._revoked, self._contested
        resolved = resolve_revocations(self.pool, self._acts)
        world = self._world = resolved.world
        self.members, self.leaders, self._revoked, self._contested = {}, set(), {}, set()
        for id, member in world.members().items():
            self._place(id, member)
        self.evicted = {id: evictions[0] for id, evictions in world.evictions.items()}
        for signed in list(self._acts.every()):
            if not resolved.is_valid(signed):
                if resolved.is_relevant(signed):
                    self._contested.add(signed.hash)
                self._revoke(signed)
        every = (e.fact for e in self._acts.evictions.values())
        ancestries = (self._acts.ancestry(fact.subject, fact.last, fact.last_hash) for fact in every)
        self._missing = {ancestry.missing for ancestry in ancestries if ancestry.missing is not None}
        lost = any(member.rights.exceeds(self.rights(id)) for id, member in before.items())
        self.changed |= lost or revoked.keys() != self._revoked.keys() or contested != self._contested

"""Which acts are valid: a pure function of the set of all acts, so that the order of arrival does not matter.

An act is valid when its author is an owner by valid vouchers, and every valid eviction of its author names it
or an act after it as the last valid one. Evictions can therefore revoke evictions. Where they do so without
going round in a circle, the well-founded model (Van Gelder, Ross and Schlipf, "The Well-Founded Semantics for
General Logic Programs", JACM 1991) has one answer: an eviction is valid when all that could revoke it is
revoked. In a circle (the smallest is two owners that evict each other) the eviction by the owner nearest to
the founder is valid (then the smaller id, then the lower number), and what would revoke it is void. An
eviction that would revoke its own author's ancestry is void as well.

The founder's voucher for itself is always valid: an evicted founder is no member any more, but what it did
before counts, and its pool goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from mesh.protocol.trust.acts import Acts, Ancestry, is_founding
from mesh.wire.facts import Voucher
from mesh.wire.identity import NodeId, PoolId, node_id
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed

MAX_CHAIN = 8
Hashes = frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Vouched:
    """A present member: key, rights, distance from the founder in vouchers, and the last of these."""

    key: bytes
    rights: Rights
    depth: int
    by: Signed[Voucher]


class CandidateWorld:
    """The acts that are valid if exactly these evictions are in force."""

    def __init__(self, pool: PoolId, acts: Acts, ancestries: dict[bytes, Ancestry], in_force: Hashes) -> None:
        self._pool = pool
        self._acts = acts
        self._ancestries = ancestries
        self.in_force = in_force
        self.evictions: dict[NodeId, list[Signed[Any]]] = {}
        """The evictions in force, by their subjects."""
        for hash in sorted(in_force):
            signed = acts.evictions[hash]
            self.evictions.setdefault(signed.fact.subject, []).append(signed)
        self.owners: dict[NodeId, tuple[int, Signed[Voucher]]] = {}
        """Each owner's distance from the founder, and its voucher; evicted owners are among them."""
        self._walk()

    def _walk(self) -> None:
        """Find the owners from the founder outwards, the nearest first, along vouchers that make owners."""
        for signed in self._acts.every():
            if is_founding(self._pool, signed.fact):
                self.owners[signed.fact.author] = (0, signed)
        waiting = deque(self.owners)
        while waiting:
            author = waiting.popleft()
            for voucher in sorted(self.vouchers_of(author), key=_in_order):
                subject = node_id(voucher.fact.key)
                if Rights.OWN in voucher.fact.rights and subject not in self.owners:
                    self.owners[subject] = (self.owners[author][0] + 1, voucher)
                    waiting.append(subject)

    def vouchers_of(self, author: NodeId) -> Iterator[Signed[Voucher]]:
        """The valid vouchers of this author."""
        for signed in self._acts.of(author):
            if isinstance(signed.fact, Voucher) and self.upholds(signed):
                yield signed

    def upholds(self, signed: Signed[Any]) -> bool:
        """Whether the act is valid, leaving aside evictions that its own author and its subject exchanged."""
        act = signed.fact
        if is_founding(self._pool, act):
            return True
        place = self.owners.get(act.author)
        if place is None or (isinstance(act, Voucher) and place[0] >= MAX_CHAIN):
            return False
        return all(self._ancestries[e.hash].upholds(signed) for e in self.evictions.get(act.author, ()))

    def admits(self, signed: Signed[Any]) -> bool:
        """Whether the eviction is valid; an owner that its subject evicts cannot evict that subject."""
        countered = any(
            e.fact.author == signed.fact.subject for e in self.evictions.get(signed.fact.author, ())
        )
        return self.upholds(signed) and not countered and signed.fact.author != signed.fact.subject

    def path(self, owner: NodeId) -> list[Signed[Voucher]]:
        """An owner's ancestry: the vouchers back to the founder's, its own first."""
        links = [self.owners[owner][1]]
        while links[-1].fact.author != node_id(links[-1].fact.key):
            links.append(self.owners[links[-1].fact.author][1])
        return links

    def members(self) -> dict[NodeId, Vouched]:
        """The subjects of valid vouchers that are not evicted, each with the sum of its rights."""
        members: dict[NodeId, Vouched] = {}
        nearest = sorted(self.owners.items(), key=lambda item: (item[1][0], item[0]))
        for author, (depth, _) in nearest:
            for voucher in sorted(self.vouchers_of(author), key=_in_order):
                subject = node_id(voucher.fact.key)
                if subject in self.evictions:
                    continue
                before = members.get(subject)
                at, by = self.owners.get(subject) or (
                    (depth + 1, voucher) if before is None else (before.depth, before.by)
                )
                rights = voucher.fact.rights.joined(None if before is None else before.rights)
                members[subject] = Vouched(voucher.fact.key, rights, at, by)
        return members


@dataclass(frozen=True, slots=True)
class Resolved:
    """Which acts are valid, and which others are relevant to that.

    An act is relevant if it would be valid but for how circles were decided. An act is also relevant if it is
    in a chain that such an eviction names, and its author would then be an owner. No other act makes a
    difference, known or not.
    """

    world: CandidateWorld
    possible: CandidateWorld
    evictions: Hashes
    """The evictions that may be valid while circles are undecided, ..."""
    named: Hashes
    """... and the acts of the chains that they name."""

    def is_valid(self, signed: Signed[Any]) -> bool:
        """Whether the act is valid."""
        counts = isinstance(signed.fact, Voucher) or signed.hash in self.world.in_force
        return counts and self.world.upholds(signed)

    def is_relevant(self, signed: Signed[Any]) -> bool:
        """Whether the act is valid, or others' validity depends on it."""
        may = isinstance(signed.fact, Voucher) or signed.hash in self.evictions
        named = signed.hash in self.named and signed.fact.author in self.possible.owners
        return self.is_valid(signed) or named or (may and self.possible.upholds(signed))


def resolve_revocations(pool: PoolId, acts: Acts) -> Resolved:
    """Decide which evictions are valid, and with them all other acts."""
    ancestries = {
        hash: acts.ancestry(e.fact.subject, e.fact.last, e.fact.last_hash)
        for hash, e in acts.evictions.items()
    }
    fixed: Hashes = frozenset()
    void: Hashes = frozenset()
    low, high = _bounds(pool, acts, ancestries, fixed, void)
    possible, evictions = CandidateWorld(pool, acts, ancestries, low), high
    world = possible
    while undecided := high - low:

        def precedence(hash: bytes, world: CandidateWorld = world) -> tuple[int, NodeId, int, bytes]:
            act = acts.evictions[hash].fact
            return (world.owners[act.author][0], act.author, act.number, hash)

        best = acts.evictions[min(undecided, key=precedence)]
        path = world.path(best.fact.author)
        revoking = {h for h in undecided if _revokes(acts.evictions[h], ancestries[h], best, path)}
        if best.hash in revoking:
            void |= {best.hash}
        else:
            fixed |= {best.hash}
            void |= revoking
        low, high = _bounds(pool, acts, ancestries, fixed, void)
        world = CandidateWorld(pool, acts, ancestries, low)
    named = frozenset[bytes]().union(*(ancestries[hash].hashes for hash in evictions))
    return Resolved(world, possible, evictions, named)


def _bounds(
    pool: PoolId, acts: Acts, ancestries: dict[bytes, Ancestry], fixed: Hashes, void: Hashes
) -> tuple[Hashes, Hashes]:
    """Evictions that are surely valid, and those that may be: the alternating fixpoint of Van Gelder."""

    @cache
    def valid_under(in_force: Hashes) -> Hashes:
        world = CandidateWorld(pool, acts, ancestries, in_force)
        return (frozenset(h for h, e in acts.evictions.items() if world.admits(e)) | fixed) - void

    low: Hashes = frozenset()
    while True:
        high = valid_under(low)
        surer = valid_under(high)
        if surer == low:
            return low, high
        low = surer


def _revokes(
    revoking: Signed[Any], ancestry: Ancestry, eviction: Signed[Any], path: list[Signed[Voucher]]
) -> bool:
    """Whether the one eviction would revoke the other, or a voucher in the ancestry of its author."""
    subject = revoking.fact.subject
    mutual = revoking.fact.author == eviction.fact.subject
    if subject == eviction.fact.author and (mutual or not ancestry.upholds(eviction)):
        return True
    return any(
        link.fact.author == subject
        and not ancestry.upholds(link)
        and link.fact.author != node_id(link.fact.key)
        for link in path
    )


def _in_order(voucher: Signed[Voucher]) -> tuple[int, bytes]:
    return (voucher.fact.number, voucher.hash)

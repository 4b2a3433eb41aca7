"""Which acts stand: a pure function of the set of all acts, so that every order of arrival gives the same.

An act stands when its author is an owner by vouchers that stand, and every eviction of its author that stands
names it or an act after it as the last one. Evictions can therefore fell evictions. Where they do so without
going round in a circle, the well-founded model (Van Gelder, Ross and Schlipf, "The Well-Founded Semantics for
General Logic Programs", JACM 1991) has one answer: an eviction stands when all that could fell it has fallen.
In a circle, two owners who evict each other being the smallest, the eviction by the owner nearest to the
founder stands (then the smaller id, then the lower number), and what would fell it is void. An eviction that
would fell the ground under its own author is void as well.

The founder's voucher for itself always stands: an evicted founder is no member any more, but what it did
before counts, and its pool goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from mesh.protocol.trust.acts import Acts, Ancestry, is_founding
from mesh.wire.facts import Signed, Voucher
from mesh.wire.identity import NodeId, PoolId, node_id
from mesh.wire.rights import Rights

MAX_CHAIN = 8
Hashes = frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Vouched:
    """A present member: its key, rights, and the voucher by which it hangs on the one before it."""

    key: bytes
    rights: Rights
    depth: int
    by: Signed[Voucher]


class CandidateWorld:
    """What stands when exactly these evictions are in force."""

    def __init__(self, pool: PoolId, acts: Acts, ancestries: dict[bytes, Ancestry], in_force: Hashes) -> None:
        self._pool = pool
        self._acts = acts
        self._ancestries = ancestries
        self.in_force = in_force
        self.evictions: dict[NodeId, list[Signed[Any]]] = {}
        """Those in force, by whom they evict."""
        for hash in sorted(in_force):
            signed = acts.evictions[hash]
            self.evictions.setdefault(signed.fact.subject, []).append(signed)
        self.owners: dict[NodeId, tuple[int, Signed[Voucher]]] = {}
        """How far from the founder each owner is, and by which voucher; evicted ones among them."""
        self._walk()

    def _walk(self) -> None:
        """From the founder outwards, the nearest first, along vouchers that make owners."""
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
        """The vouchers of this author that stand."""
        for signed in self._acts.of(author):
            if isinstance(signed.fact, Voucher) and self.upholds(signed):
                yield signed

    def upholds(self, signed: Signed[Any]) -> bool:
        """Whether the act stands, leaving aside evictions that its own author and its subject exchanged."""
        act = signed.fact
        if is_founding(self._pool, act):
            return True
        place = self.owners.get(act.author)
        if place is None or (isinstance(act, Voucher) and place[0] >= MAX_CHAIN):
            return False
        return all(self._ancestries[e.hash].upholds(signed) for e in self.evictions.get(act.author, ()))

    def admits(self, signed: Signed[Any]) -> bool:
        """Whether the eviction stands; whoever is evicted by its subject evicts that no more."""
        countered = any(
            e.fact.author == signed.fact.subject for e in self.evictions.get(signed.fact.author, ())
        )
        return self.upholds(signed) and not countered and signed.fact.author != signed.fact.subject

    def path(self, owner: NodeId) -> list[Signed[Voucher]]:
        """The vouchers by which an owner hangs on the founder, its own first."""
        links = [self.owners[owner][1]]
        while links[-1].fact.author != node_id(links[-1].fact.key):
            links.append(self.owners[links[-1].fact.author][1])
        return links

    def members(self) -> dict[NodeId, Vouched]:
        """Whoever is vouched for and not evicted, with the sum of its rights."""
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
                rights = voucher.fact.rights | (before.rights if before is not None else Rights(0))
                members[subject] = Vouched(voucher.fact.key, rights, at, by)
        return members


@dataclass(frozen=True, slots=True)
class Resolved:
    """What stands, and what else has its part in that.

    It has if it would stand but for how circles were settled, or is of a chain that such an eviction names
    and by one who then would be an owner. No other act makes a difference, known or not.
    """

    world: CandidateWorld
    possible: CandidateWorld
    evictions: Hashes
    """Those that may stand while circles are left alone, ..."""
    named: Hashes
    """... and the acts of the chains that they name."""

    def stands(self, signed: Signed[Any]) -> bool:
        """Whether the act counts."""
        counts = isinstance(signed.fact, Voucher) or signed.hash in self.world.in_force
        return counts and self.world.upholds(signed)

    def is_relevant(self, signed: Signed[Any]) -> bool:
        """Whether it counts or has its part in what does."""
        may = isinstance(signed.fact, Voucher) or signed.hash in self.evictions
        named = signed.hash in self.named and signed.fact.author in self.possible.owners
        return self.stands(signed) or named or (may and self.possible.upholds(signed))


def resolve_revocations(pool: PoolId, acts: Acts) -> Resolved:
    """Decide which evictions stand, and with them everything else."""
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
        felling = {h for h in undecided if _revokes(acts.evictions[h], ancestries[h], best, path)}
        if best.hash in felling:
            void |= {best.hash}
        else:
            fixed |= {best.hash}
            void |= felling
        low, high = _bounds(pool, acts, ancestries, fixed, void)
        world = CandidateWorld(pool, acts, ancestries, low)
    named = frozenset[bytes]().union(*(ancestries[hash].hashes for hash in evictions))
    return Resolved(world, possible, evictions, named)


def _bounds(
    pool: PoolId, acts: Acts, ancestries: dict[bytes, Ancestry], fixed: Hashes, void: Hashes
) -> tuple[Hashes, Hashes]:
    """Evictions that surely stand, and those that may: the alternating fixpoint of Van Gelder."""

    @cache
    def standing(in_force: Hashes) -> Hashes:
        world = CandidateWorld(pool, acts, ancestries, in_force)
        return (frozenset(h for h, e in acts.evictions.items() if world.admits(e)) | fixed) - void

    low: Hashes = frozenset()
    while True:
        high = standing(low)
        surer = standing(high)
        if surer == low:
            return low, high
        low = surer


def _revokes(
    felling: Signed[Any], ancestry: Ancestry, eviction: Signed[Any], path: list[Signed[Voucher]]
) -> bool:
    """Whether the one eviction would fell the other, or a voucher by which the other's author is an owner."""
    subject = felling.fact.subject
    mutual = felling.fact.author == eviction.fact.subject
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

"""The acts of owners, vouchers and evictions: each owner's are numbered and chained by their hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from mesh.wire.facts import NO_PREVIOUS, Eviction, Voucher
from mesh.wire.identity import NodeId, PoolId, node_id, pool_id
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed

Act = Voucher | Eviction


def is_founding(pool: PoolId, act: Act) -> bool:
    """Whether this is the voucher by which the pool's founder vouches for itself."""
    return (
        isinstance(act, Voucher)
        and act.number == 1
        and act.author == node_id(act.key)
        and pool_id(act.key) == pool
        and act.rights == ALL_RIGHTS
    )


class Ancestry(NamedTuple):
    """Acts of one author, from the last that an eviction names back to the first, as far as known.

    While an act between them is ``missing`` here, acts with numbers below the gap count as valid.
    """

    hashes: frozenset[bytes]
    below: int
    missing: bytes | None

    def upholds(self, act: Signed[Any]) -> bool:
        """Whether the act is one of them, so that the eviction leaves it valid."""
        return act.hash in self.hashes or act.fact.number < self.below


class Acts:
    """A set of acts with valid signatures, by author and hash."""

    def __init__(self) -> None:
        self._by_author: dict[NodeId, dict[bytes, Signed[Any]]] = {}
        self._count = 0
        self.evictions: dict[bytes, Signed[Any]] = {}
        self.keys: dict[NodeId, bytes] = {}
        """The public key of each subject of a voucher, valid or not, ..."""
        self.rights: dict[NodeId, Rights] = {}
        """... and the sum of its rights."""
        self._vouchers: Counter[NodeId] = Counter()
        """How many vouchers each subject has."""

    def __len__(self) -> int:
        return self._count

    def __contains__(self, signed: Signed[Any]) -> bool:
        return signed.hash in self._by_author.get(signed.fact.author, {})

    def add(self, signed: Signed[Any]) -> None:
        """Take in one act, once."""
        if signed in self:
            return
        fact = signed.fact
        self._by_author.setdefault(fact.author, {})[signed.hash] = signed
        self._count += 1
        if isinstance(fact, Voucher):
            subject = node_id(fact.key)
            self._vouchers[subject] += 1
            self.keys[subject] = fact.key
            self.rights[subject] = fact.rights.joined(self.rights.get(subject))
        else:
            self.evictions[signed.hash] = signed

    def drop(self, signed: Signed[Any]) -> None:
        """Forget one act."""
        acts = self._by_author.get(signed.fact.author, {})
        if acts.pop(signed.hash, None) is None:
            return
        self._count -= 1
        self.evictions.pop(signed.hash, None)
        if not acts:
            del self._by_author[signed.fact.author]
        if isinstance(signed.fact, Voucher):
            subject = node_id(signed.fact.key)
            self._vouchers[subject] -= 1
            if not self._vouchers[subject]:
                del self._vouchers[subject], self.keys[subject], self.rights[subject]

    def of(self, author: NodeId) -> Iterable[Signed[Any]]:
        """The acts of one author."""
        return self._by_author.get(author, {}).values()

    def has_acted(self, author: NodeId) -> bool:
        return bool(self._by_author.get(author))

    def every(self) -> Iterable[Signed[Any]]:
        """All acts, in no order."""
        return (signed for acts in self._by_author.values() for signed in acts.values())

    def ancestry(self, author: NodeId, number: int, last: bytes) -> Ancestry:
        """The acts of an author that stay valid when the last of them has this number and hash."""
        acts = self._by_author.get(author, {})
        hashes: set[bytes] = set()
        while last != NO_PREVIOUS:
            act = acts.get(last)
            if act is None:
                return Ancestry(frozenset(hashes), number, last)
            hashes.add(last)
            number, last = act.fact.number, act.fact.previous
        return Ancestry(frozenset(hashes), 0, None)

    def tips(self, author: NodeId) -> list[Signed[Any]]:
        """The last act of each branch of an author's chain that is known to its beginning, longest first.

        After a state rollback there are several: the author went on from an earlier act.
        """
        acts = self._by_author.get(author, {})
        followed = {signed.fact.previous for signed in acts.values()}
        tips = [signed for hash, signed in acts.items() if hash not in followed]
        whole = [tip for tip in tips if self.ancestry(author, tip.fact.number, tip.hash).missing is None]
        return sorted(whole, key=lambda signed: (-signed.fact.number, signed.hash))

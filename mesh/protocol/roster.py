"""Who belongs to the pool: the closure of the vouchers that hang on the founder's own.

Rights only add up, and the closure does not depend on the order in which vouchers came.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mesh.wire.facts import Signed, Voucher
from mesh.wire.identity import NodeId, PoolId, node_id, pool_id
from mesh.wire.rights import ALL_RIGHTS, Rights

MAX_CHAIN = 8
MAX_VOUCHERS = 16384


@dataclass(frozen=True, slots=True)
class Vouched:
    """A present member: its key, rights, and the voucher by which it hangs on the one before it."""

    key: bytes
    rights: Rights
    depth: int
    by: Signed[Voucher]


class Roster:
    """The vouched members of one pool."""

    def __init__(self, pool: PoolId) -> None:
        self.pool = pool
        self.members: dict[NodeId, Vouched] = {}
        self.leaders: set[NodeId] = set()
        """Those of them with the right to lead."""
        self._vouchers: dict[tuple[NodeId, int, NodeId], Signed[Voucher]] = {}
        self._authors: set[NodeId] = set()

    def __contains__(self, id: object) -> bool:
        return id in self.members

    @property
    def is_full(self) -> bool:
        """Whether no further voucher is taken: the bound of everything that is kept for each member."""
        return len(self._vouchers) >= MAX_VOUCHERS

    def is_founding(self, voucher: Voucher) -> bool:
        """Whether this is the voucher by which the founder vouches for itself."""
        return (
            voucher.number == 1
            and voucher.author == node_id(voucher.key)
            and pool_id(voucher.key) == self.pool
            and voucher.rights == ALL_RIGHTS
        )

    def key(self, id: NodeId) -> bytes | None:
        member = self.members.get(id)
        return member.key if member else None

    def rights(self, id: NodeId) -> Rights:
        member = self.members.get(id)
        return member.rights if member else Rights(0)

    def add(self, signed: Signed[Voucher]) -> None:
        """Take in a voucher whose signature holds."""
        voucher = signed.fact
        subject = node_id(voucher.key)
        place = (voucher.author, voucher.number, subject)
        known = place in self._vouchers or subject in self.members or subject in self._authors
        self._authors.add(voucher.author)
        self._vouchers[place] = signed
        if known:
            self._rebuild()
        else:
            self._hang(signed)

    def chain(self, id: NodeId) -> list[bytes]:
        """Signed vouchers from the founder's own to the member's; empty for a stranger."""
        links: list[bytes] = []
        member = self.members.get(id)
        while member is not None and len(links) <= MAX_CHAIN:
            links.append(member.by.data)
            if member.depth == 0:
                return links[::-1]
            member = self.members.get(member.by.fact.author)
        return []

    def vouchers(self) -> list[bytes]:
        """All vouchers as signed bytes, those nearest to the founder first."""

        def depth(signed: Signed[Voucher]) -> tuple[int, bytes, int]:
            author = self.members.get(signed.fact.author)
            return (author.depth if author else MAX_CHAIN + 1, signed.fact.author, signed.fact.number)

        return [signed.data for signed in sorted(self._vouchers.values(), key=depth)]

    def _hang(self, signed: Signed[Voucher]) -> bool:
        """Hang one voucher's subject on its author; whether anything changed."""
        voucher = signed.fact
        subject = node_id(voucher.key)
        if self.is_founding(voucher):
            self._place(subject, Vouched(voucher.key, voucher.rights, 0, signed))
            return True
        author = self.members.get(voucher.author)
        if author is None or Rights.OWN not in author.rights or author.depth >= MAX_CHAIN:
            return False
        before = self.members.get(subject)
        if before is None:
            self._place(subject, Vouched(voucher.key, voucher.rights, author.depth + 1, signed))
            return True
        rights = before.rights | voucher.rights
        if rights == before.rights:
            return False
        self._place(subject, Vouched(before.key, rights, before.depth, before.by))
        return True

    def _place(self, id: NodeId, member: Vouched) -> None:
        self.members[id] = member
        if Rights.LEAD in member.rights:
            self.leaders.add(id)

    def _rebuild(self) -> None:
        """Walk from the founder outwards, nearest first, so that each member hangs by a shortest chain."""
        self.members = {}
        self.leaders = set()
        by_author: dict[NodeId, list[Signed[Voucher]]] = {}
        for _, signed in sorted(self._vouchers.items()):
            by_author.setdefault(signed.fact.author, []).append(signed)
            if self.is_founding(signed.fact):
                self._hang(signed)
        waiting = deque(self.members)
        while waiting:
            for signed in by_author.get(waiting.popleft(), ()):
                subject = node_id(signed.fact.key)
                if not self.is_founding(signed.fact) and self._hang(signed):
                    waiting.append(subject)

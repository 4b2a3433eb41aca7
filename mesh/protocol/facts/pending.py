"""Pending facts: their authors are not vouched for yet, or not for such facts. Bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Any

from mesh.wire.identity import NodeId
from mesh.wire.signed_facts import Signed

MAX_WAITING = 512
MAX_OF_A_SOURCE = 64


class PendingFacts:
    """At most 512 facts, at most 64 of them from one source; the largest source makes room for others."""

    def __init__(self) -> None:
        self._by_author: dict[NodeId, dict[bytes, tuple[Signed[Any], object]]] = {}
        self._by_source: Counter[object] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def keep(self, signed: Signed[Any], source: object) -> bool:
        """Keep a fact, unless its source has too many pending already; returns whether it is pending now."""
        waiting = self._by_author.get(signed.fact.author, {})
        if signed.data in waiting:
            return True
        if self._by_source[source] >= MAX_OF_A_SOURCE:
            return False
        if self._count >= MAX_WAITING:
            greatest, most = self._by_source.most_common(1)[0]
            if most <= self._by_source[source] + 1:
                return False
            self._drop_one(greatest)
        self._by_author.setdefault(signed.fact.author, {})[signed.data] = (signed, source)
        self._by_source[source] += 1
        self._count += 1
        return True

    def adopt(self, authors: Container[NodeId]) -> list[tuple[Signed[Any], object]]:
        """Take out the facts of these authors, each with its source."""
        taken = []
        for author in [author for author in self._by_author if author in authors]:
            for signed, source in self._by_author.pop(author).values():
                self._forget(source)
                taken.append((signed, source))
        return taken

    def drop(self, authors: Container[NodeId]) -> None:
        """Drop the facts of these authors."""
        self.adopt(authors)

    def _drop_one(self, source: object) -> None:
        for author, waiting in self._by_author.items():
            for data, (_, by) in waiting.items():
                if by == source:
                    del waiting[data]
                    if not waiting:
                        del self._by_author[author]
                    self._forget(source)
                    return

    def _forget(self, source: object) -> None:
        self._count -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]

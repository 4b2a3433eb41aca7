"""All facts that a member holds, and the laws by which two versions of one merge.

Of two facts in one place the higher version stays; of two with one version the one with the smaller hash.
These are an equivocation, unless they are suspicions. Suspicions lapse when their subject's liveness passes
the one they name; of the rest only a few with the smallest keys stay. Of claims, resignations and states only
the few highest stay, which one author cannot fill, and of what an author names places for itself (deployments
and states by name, facts of kinds from 10 on) its few highest. All laws commute (Shapiro et al. 2011):
members that saw the same facts hold the same facts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mesh.wire.facts import (
    FIRST_LATER_KIND,
    Claim,
    Deployment,
    Fact,
    PoolState,
    Record,
    Resignation,
    Suspicion,
    Version,
)
from mesh.wire.identity import NodeId
from mesh.wire.messages import BUCKETS, Rumour
from mesh.wire.signed_facts import Signed
from mesh.wire.signed_facts import place_key as place_key

NEW, STALE, EQUIVOCATION = "new", "stale", "equivocation"
MAX_PROOFS = 64
_ENTRY = "entry"
_FEW = {Claim.kind: 8, Resignation.kind: 32, PoolState.kind: 4}
"""Of facts that only leaders sign the store keeps those that fewer authors than this have gone beyond.

Authors count, not facts: else one with many names for its states would leave no room for the leader's.
"""
MAX_OF_AN_AUTHOR = 8
"""How many deployments and states an author may hold, and how many facts of all kinds from 10 on together."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored fact, with the hashes by which members compare sets."""

    signed: Signed[Any]
    key: bytes
    hash: bytes
    rumour: Rumour


def entry_of(signed: Signed[Any]) -> Entry:
    """The entry of this fact; made once for each fact, and shared by all stores of the process."""
    entry: Entry | None = signed.__dict__.get(_ENTRY)
    if entry is None:
        rumour = Rumour(signed.key, signed.fact.version, signed.hash[:4])
        entry = signed.__dict__[_ENTRY] = Entry(signed, signed.key, signed.hash, rumour)
    return entry


def prevails(version: Version, hash: bytes, over_version: Version, over_hash: bytes) -> bool:
    """The merge law for two facts in one place (hashes may be cut to one length); False for equal facts."""
    if version != over_version:
        return version > over_version
    return hash < over_hash


class FactStore:
    """Facts by place, with a set hash over all and over each of 64 buckets."""

    def __init__(self, suspectors: int) -> None:
        self._suspectors = suspectors
        self._entries: dict[bytes, Entry] = {}
        self._kinds: dict[int, dict[tuple[NodeId, bytes], Entry]] = {}
        self._buckets: list[dict[bytes, Entry]] = [{} for _ in range(BUCKETS)]
        self._hashes = [0] * BUCKETS
        self._suspected: dict[NodeId, dict[bytes, Entry]] = {}
        self._liveness: dict[NodeId, Version] = {}
        self.proofs: dict[bytes, tuple[bytes, bytes]] = {}
        self._bucket_hashes: tuple[bytes, ...] | None = None
        self.summary = bytes(8)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def entry(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def get(self, kind: type[Any], author: NodeId, place: bytes = b"") -> Signed[Any] | None:
        entry = self._kinds.get(kind.kind, {}).get((author, place))
        return entry.signed if entry else None

    def all(self, kind: type[Any]) -> Iterator[Signed[Any]]:
        """Every fact of this kind, and those of a kind from 10 on that only a later version can read."""
        return (entry.signed for entry in self._kinds.get(kind.kind, {}).values())

    def everything(self) -> Iterator[Signed[Any]]:
        return (entry.signed for entry in self._entries.values())

    def suspicions(self, subject: NodeId) -> list[Signed[Suspicion]]:
        """The suspicions of this member that have not lapsed."""
        return [entry.signed for entry in self._suspected.get(subject, {}).values()]

    def wants(self, rumour: Rumour) -> bool:
        """Whether the fact of this rumour would prevail over the stored one."""
        entry = self._entries.get(rumour.key)
        if entry is None:
            return True
        held = entry.rumour
        return prevails(rumour.version, rumour.mark, held.version, held.mark)

    def would_change(self, signed: Signed[Any]) -> bool:
        """Whether :meth:`offer` would take it; callers ask before the costly check of its signature."""
        held = self._entries.get(signed.key)
        if held is not None and held.signed.data == signed.data:
            return False
        fact: Fact = signed.fact
        if isinstance(fact, Suspicion) and not self._may_suspect(signed.key, fact):
            return False
        if held is None:
            return self._is_among_few(signed, self._rivals(fact))
        version: Version = held.signed.fact.version
        if fact.version >= version:
            return True
        # An older record, but of another run: its author has to learn that it was here before.
        return _are_of_two_runs(held.signed.fact, fact) and signed.data not in self.proofs.get(signed.key, ())

    def offer(self, signed: Signed[Any]) -> str:
        """Merge one verified fact: NEW, STALE or EQUIVOCATION (then it keeps both as proof, a pair a place).

        Records of two runs with one generation are an equivocation as well, though one is newer.
        """
        if not self.would_change(signed):
            return STALE
        entry = entry_of(signed)
        held = self._entries.get(entry.key)
        if held is None:
            self._put(entry)
            return NEW
        before, after = held.signed.fact, signed.fact
        same = _contradict(before, after)
        if same and len(self.proofs) < MAX_PROOFS:
            self.proofs[entry.key] = (held.signed.data, signed.data)
        if prevails(signed.fact.version, entry.hash, held.signed.fact.version, held.hash):
            self._drop(held)
            self._put(entry)
        elif not same:
            return STALE
        return EQUIVOCATION if same else NEW

    def raise_liveness(self, subject: NodeId, liveness: Version) -> None:
        """The subject signed this liveness: suspicions of an earlier one lapse."""
        if liveness <= self._liveness.get(subject, ()):
            return
        self._liveness[subject] = liveness
        for entry in list(self._suspected.get(subject, {}).values()):
            if entry.signed.fact.version < liveness:
                self._drop(entry)

    def retain(self, allowed: Callable[[Signed[Any]], bool]) -> None:
        """Drop all facts but those allowed."""
        for entry in list(self._entries.values()):
            if not allowed(entry.signed):
                self._drop(entry)

    def liveness(self, subject: NodeId) -> Version:
        """The highest proven liveness of the member: the floor below which nothing about it counts."""
        return self._liveness.get(subject, ())

    def generation(self, subject: NodeId) -> int:
        """The highest generation that the member's signed facts prove; 0 while there are none."""
        return self._liveness.get(subject, (0,))[0]

    def subjects(self) -> list[NodeId]:
        """All members with a proven liveness."""
        return list(self._liveness)

    def forget(self, subject: NodeId) -> None:
        """Forget this member's liveness and drop the suspicions of it."""
        self._liveness.pop(subject, None)
        for entry in list(self._suspected.pop(subject, {}).values()):
            self._drop(entry)

    def entries_in(self, bucket: int) -> list[Entry]:
        """The facts of a bucket, owners' acts first: the validity of the rest depends on them."""
        return sorted(self._buckets[bucket].values(), key=lambda entry: entry.signed.fact.kind)

    def bucket_hashes(self) -> tuple[bytes, ...]:
        if self._bucket_hashes is None:
            self._bucket_hashes = tuple([value.to_bytes(8, "big") for value in self._hashes])
        return self._bucket_hashes

    def _is_among_few(self, signed: Signed[Any], rivals: list[Entry]) -> bool:
        """Whether a fact is high enough, where the store keeps only a few of its kind or author."""
        height, fact = _height(signed), signed.fact
        higher = [rival.signed.fact.author for rival in rivals if _height(rival.signed) > height]
        return (
            len(set(higher)) < _FEW.get(fact.kind, sys.maxsize)
            and higher.count(fact.author) < MAX_OF_AN_AUTHOR
        )

    def _rivals(self, fact: Fact) -> list[Entry]:
        """The facts that share a bound with it: of its kind, or those that its author named."""
        same_kind = self._kinds.get(fact.kind, {})
        if fact.kind in _FEW:
            return list(same_kind.values())
        if not isinstance(fact, Deployment) and fact.kind < FIRST_LATER_KIND:
            return []
        kinds = [same_kind] if isinstance(fact, Deployment) else self._later_kinds()
        return [entry for kind in kinds for (author, _), entry in kind.items() if author == fact.author]

    def _later_kinds(self) -> list[dict[tuple[NodeId, bytes], Entry]]:
        """The facts of all kinds from 10 on, known or not, so that programs of all versions keep the same."""
        return [facts for kind, facts in self._kinds.items() if kind >= FIRST_LATER_KIND]

    def _may_suspect(self, key: bytes, fact: Suspicion) -> bool:
        """A suspicion counts against exactly the proven liveness; of many the store keeps a few."""
        if fact.version != self._liveness.get(fact.subject):
            return False
        others = self._suspected.get(fact.subject, {})
        return key in others or len(others) < self._suspectors or key < max(others)

    def _put(self, entry: Entry) -> None:
        fact: Fact = entry.signed.fact
        self._entries[entry.key] = entry
        same_kind = self._kinds.setdefault(fact.kind, {})
        same_kind[fact.author, fact.place] = entry
        self._buckets[bucket_of(entry.key)][entry.key] = entry
        self._toggle(entry)
        if isinstance(fact, Suspicion):
            others = self._suspected.setdefault(fact.subject, {})
            others[entry.key] = entry
            if len(others) > self._suspectors:
                self._drop(others[max(others)])
            return
        rivals = self._rivals(fact)
        if len(rivals) > _FEW.get(fact.kind, MAX_OF_AN_AUTHOR):
            for rival in [rival for rival in rivals if not self._is_among_few(rival.signed, rivals)]:
                self._drop(rival)

    def _drop(self, entry: Entry) -> None:
        fact: Fact = entry.signed.fact
        del self._entries[entry.key]
        del self._kinds[fact.kind][fact.author, fact.place]
        del self._buckets[bucket_of(entry.key)][entry.key]
        self._toggle(entry)
        if isinstance(fact, Suspicion):
            self._suspected.get(fact.subject, {}).pop(entry.key, None)

    def _toggle(self, entry: Entry) -> None:
        value = int.from_bytes(entry.hash[:8], "big")
        self._hashes[bucket_of(entry.key)] ^= value
        self._bucket_hashes = None
        self.summary = (int.from_bytes(self.summary, "big") ^ value).to_bytes(8, "big")


def _contradict(one: Fact, other: Fact) -> bool:
    """Whether no honest author says both.

    It may suspect one liveness twice, in two runs of its process, of which the second knows nothing of the
    first: how the port answered, and the form, may differ.
    """
    same = one.version == other.version and not isinstance(one, Suspicion)
    return same or _are_of_two_runs(one, other)


def _are_of_two_runs(one: Fact, other: Fact) -> bool:
    """Whether these are records of two runs with one generation (the second after a state rollback)."""
    if not isinstance(one, Record) or not isinstance(other, Record):
        return False
    return one.generation == other.generation and one.nonce != other.nonce


def _height(signed: Signed[Any]) -> tuple[Version, NodeId, bytes]:
    """The order of facts of which the store keeps the highest; a place has one of each version."""
    return (signed.fact.version, signed.fact.author, signed.key)


def bucket_of(key: bytes) -> int:
    """Which of the buckets a key belongs to."""
    return key[0] % BUCKETS


def differing(ours: Iterable[bytes], theirs: Iterable[bytes]) -> list[int]:
    """The numbers of the buckets whose hashes differ."""
    return [number for number, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]

"""Gossip: rumours of (key, version) go to a few members at random, bodies are pulled, sets compared.

Rounds run only while there is something new (Demers et al., "Epidemic Algorithms", PODC 1987: rumour
mongering with a counter, backed by anti-entropy). Pings carry the set hash. When two differ for longer than
news needs to spread, members exchange bucket hashes, then the contents of the buckets that differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mesh.protocol.base.context import Context
from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.facts.store import Entry, FactStore, bucket_of, differing, prevails
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.limits.rate_limits import RateLimits
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.older_sets import OlderSets
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Liveness, Record, Suspicion
from mesh.wire.identity import NodeId, id_text
from mesh.wire.messages import Buckets, Contents, Pull, Rumour, Rumours
from mesh.wire.signed_facts import Signed

ROUND, RETRY = "gossip", "pull"
_RUMOURS_A_DATAGRAM = 28
_DATAGRAMS_A_ROUND = 4
_BODIES_A_ROUND = 4
_URGENT_ROUNDS = 2
_PULLS_A_DATAGRAM = 100
MAX_ASKED = 128
_MIN_SHARE = 8
MAX_WANTED = 8192
_MAX_WANTED_OF_ONE = 4096
_MAX_VAIN = 32
_MAX_WANTED_OF_A_LIAR = 32
_PULL_TIMEOUT = 0.25
MAX_PULL_TRIES = 4


class _Wanted:
    """A body to pull: the members that told of it and from where; the one asked last, when, how often."""

    __slots__ = ("asked", "asked_at", "holders", "tries")

    def __init__(self, holder: NodeId, source: Endpoint | None) -> None:
        self.holders = {holder: source}
        self.asked = holder
        self.asked_at = -math.inf
        self.tries = 0


class Gossip:
    """The rumours, pulls and comparisons of sets of one member."""

    def __init__(
        self,
        context: Context,
        rate_limits: RateLimits,
        store: FactStore,
        validator: FactValidator,
        membership: Membership,
        older_sets: OlderSets,
    ) -> None:
        self._context = context
        self._older_sets = older_sets
        self._rate_limits = rate_limits
        self._store = store
        self._validator = validator
        self._membership = membership
        self._hot: dict[bytes, int] = {}
        self._wanted: dict[bytes, _Wanted] = {}
        self._under_way: dict[bytes, _Wanted] = {}
        """The wanted bodies with a pull under way, the first asked first."""
        self._told_by: Counter[NodeId] = Counter()
        """How many wanted bodies each member told of first."""
        self._asking_is_due = False
        """Whether the wanted bodies changed since the last requests."""
        self._first_asked = -math.inf
        """When the oldest pull that was under way then was sent."""
        self._vain: Counter[NodeId] = Counter()
        """How many bodies in a row that each member told of first no member had."""
        self._asked_at: dict[NodeId, float] = {}
        self._last_round = -math.inf
        self._last_sync = -math.inf
        self._last_change = -math.inf

    def spread(self, signed: Signed[Any]) -> None:
        """Begin a rumour of a fact that the store just took."""
        key = signed.key
        self._hot[key] = 0
        self._forget(key, found=True)
        self._last_change = self._context.now
        self._context.schedule_by(ROUND, b"", max(self._context.now, self._last_round + self._period))

    def drop_rumours(self) -> None:
        """Drop all rumours that are still to be told."""
        self._hot.clear()
        self._context.cancel(ROUND, b"")

    @property
    def _period(self) -> float:
        return self._context.settings.gossip_period

    def round(self) -> None:
        """One round: the least told rumours to a few members at random."""
        self._last_round = self._context.now
        self._hot = {key: rounds for key, rounds in self._hot.items() if key in self._store}
        if not self._hot:
            return
        targets = self._membership.pick(self._context.settings.fanout)
        if not targets:
            self._hot.clear()
            return
        keys = sorted(self._hot, key=self._hot.__getitem__)[: _RUMOURS_A_DATAGRAM * _DATAGRAMS_A_ROUND]
        entries = [entry for key in keys if (entry := self._store.entry(key))]
        bodies = [entry for entry in entries if self._is_urgent(entry)][:_BODIES_A_ROUND]
        urgent = {entry.key for entry in bodies}
        rumours = [entry for entry in entries if entry.key not in urgent]
        for peer in targets:
            if peer.endpoint is not None:
                news = [entry.signed.data for entry in self._readable(peer.id, bodies)]
                self._context.send_bodies(peer.id, peer.endpoint, news)
                self._tell(peer.id, peer.endpoint, self._rumours(peer.id, rumours))
        limit = self._rounds()
        for key in keys:
            self._hot[key] += 1
            if self._hot[key] >= limit:
                del self._hot[key]
        if self._hot:
            self._context.schedule_by(ROUND, b"", self._context.now + self._period)

    def _readable(self, to: NodeId, entries: list[Entry]) -> list[Entry]:
        """Those of the facts that the member can take: one of version 2 takes only what has its form.

        Nor does it take suspicions of one whose record it cannot read. It would pull them again and again,
        and distrust whoever tells of them.
        """
        if not self._older_sets.is_older(to):
            return entries
        return [entry for entry in entries if entry.signed.is_closed and not self._is_of_the_unread(entry)]

    def _is_of_the_unread(self, entry: Entry) -> bool:
        fact = entry.signed.fact
        record = self._store.get(Record, fact.subject) if isinstance(fact, Suspicion) else None
        return record is not None and not record.is_closed

    def _rumours(self, to: NodeId, entries: list[Entry]) -> list[Rumour]:
        return [entry.rumour for entry in self._readable(to, entries)]

    def _is_urgent(self, entry: Entry) -> bool:
        """Whether to send the body at once, for a pull would cost a round trip and may be lost.

        No other member can hold this node's own news yet; and a member dies unless suspicions of it, and its
        refutations, spread fast.
        """
        fact, rounds = entry.signed.fact, self._hot[entry.key]
        if isinstance(fact, Liveness | Suspicion):
            return rounds < _URGENT_ROUNDS
        return rounds == 0 and fact.author == self._context.id

    def _rounds(self) -> int:
        """The number of rounds in which a member tells a rumour.

        Each of n members tells it (2 ln n + c) / (1 - loss) times: then all hear it but with a probability of
        about e^-c / n, c = 7 (from the coupon collector's bound for random push; Pittel, "On Spreading a
        Rumor", 1987, has ln n rounds for one telling each). Anti-entropy finds what a member misses even so.
        """
        settings = self._context.settings
        tellings = (2.0 * math.log(self._membership.live_count()) + 7.0) / (1.0 - settings.survived_loss)
        return math.ceil(tellings / settings.fanout)

    def _tell(self, to: NodeId, endpoint: Endpoint | None, rumours: Sequence[Rumour]) -> None:
        if endpoint is None:
            return
        for start in range(0, len(rumours), _RUMOURS_A_DATAGRAM):
            part = tuple(rumours[start : start + _RUMOURS_A_DATAGRAM])
            self._context.send(to, endpoint, Rumours(part))

    def heard(self, sender: NodeId, source: Endpoint | None, rumours: Iterable[Rumour]) -> None:
        """A member told of facts: pull the bodies of those that would change the store."""
        for rumour in rumours:
            if not self._store.wants(rumour):
                continue
            wanted = self._wanted.get(rumour.key)
            if wanted is None:
                share = _MAX_WANTED_OF_ONE if self._vain[sender] < _MAX_VAIN else _MAX_WANTED_OF_A_LIAR
                if len(self._wanted) < MAX_WANTED and self._told_by[sender] < share:
                    self._wanted[rumour.key] = _Wanted(sender, source)
                    self._told_by[sender] += 1
                    self._asking_is_due = True
            elif sender not in wanted.holders and len(wanted.holders) < MAX_PULL_TRIES:
                wanted.holders[sender] = source
        self._pull()

    def came(self, key: bytes, source: object) -> None:
        """The member that was asked for a body gave it, though it is pending until a voucher comes."""
        wanted = self._wanted.get(key)
        if wanted is not None and wanted.asked == source:
            self._forget(key, found=True)

    def received(self, sender: NodeId, source: Endpoint | None, facts: Sequence[bytes]) -> None:
        """Bodies came: validate them, each at the cost of a datagram, then go on pulling.

        ``source`` is None for a member that proved itself by a stream and whose address is not known yet.
        """
        source = source or Endpoint(id_text(sender), 0)
        if not self._rate_limits.allow(self._context.now, source, len(facts)):
            self._context.drops.count(DropReason.FLOOD, source)
            return
        self._validator.absorb_all(facts, sender)
        if self._wanted:
            self._pull()

    def refute(self, sender: NodeId, source: Endpoint) -> None:
        """Send the refutation straight back to a member that brought a suspicion of this node."""
        if self._validator.take_suspicions():
            proof = self._store.get(Liveness, self._context.id)
            if proof is not None:
                self._context.send_bodies(sender, source, [proof.data])

    def retry(self) -> None:
        """A pull timed out: ask another member."""
        self._pull()

    def _forget(self, key: bytes, found: bool) -> None:
        wanted = self._wanted.pop(key, None)
        if wanted is None:
            return
        self._under_way.pop(key, None)
        self._asking_is_due = True
        source = next(iter(wanted.holders))
        self._told_by[source] -= 1
        if not self._told_by[source]:
            del self._told_by[source]
        if found:
            self._vain.pop(source, None)
        elif len(self._vain) < MAX_ASKED or source in self._vain:
            self._vain[source] += 1
            if self._vain[source] == _MAX_VAIN:
                self._distrust(source)

    def _distrust(self, source: NodeId) -> None:
        """Give up the bodies that this member alone told of: anti-entropy will find those that exist."""
        for key in [key for key, wanted in self._wanted.items() if list(wanted.holders) == [source]]:
            del self._wanted[key]
            self._under_way.pop(key, None)
            self._told_by[source] -= 1

    def _pull(self) -> None:
        """Send requests if anything changed or timed out, and set the timer to retry."""
        if not self._wanted:
            return
        now = self._context.now
        if self._asking_is_due or now - self._first_asked >= _PULL_TIMEOUT:
            self._request(now)
        if self._wanted:
            self._context.schedule_by(RETRY, b"", now + _PULL_TIMEOUT)

    def _request(self, now: float) -> None:
        """Send pulls within a window that the asked members share evenly, so that no liar takes it all."""
        self._asking_is_due = False
        self._first_asked = self._oldest_pull(now)
        asked = len(self._under_way)
        asked_of = Counter(wanted.asked for wanted in self._under_way.values())
        share = max(_MIN_SHARE, MAX_ASKED // max(1, len(self._told_by)))
        requests: dict[NodeId, list[bytes]] = {}
        for key in list(self._wanted):
            wanted = self._wanted.get(key)
            if wanted is None or key in self._under_way:
                continue
            if wanted.tries >= MAX_PULL_TRIES:
                self._forget(key, found=False)
                continue
            if asked >= MAX_ASKED:
                break
            holders, turn = list(wanted.holders), wanted.tries % len(wanted.holders)
            for holder in (*holders[turn:], *holders[:turn]):
                if asked_of[holder] < share:
                    break
            else:
                continue
            asked_of[holder] += 1
            requests.setdefault(holder, []).append(key)
            wanted.asked, wanted.asked_at = holder, now
            wanted.tries += 1
            self._under_way[key] = wanted
            asked += 1
        for holder, keys in requests.items():
            # The record of a newcomer may itself be what is wanted.
            endpoint = self._membership.endpoint(holder) or self._wanted[keys[0]].holders[holder]
            for start in range(0, len(keys), _PULLS_A_DATAGRAM):
                if endpoint is not None:
                    self._context.send(holder, endpoint, Pull(tuple(keys[start : start + _PULLS_A_DATAGRAM])))

    def _oldest_pull(self, now: float) -> float:
        """When the oldest pull under way was sent, ``now`` without any; drops those that timed out."""
        while self._under_way:
            key, wanted = next(iter(self._under_way.items()))
            if now - wanted.asked_at < _PULL_TIMEOUT:
                return wanted.asked_at
            del self._under_way[key]
        return now

    def ask(self, holder: NodeId, source: Endpoint, keys: Sequence[bytes]) -> None:
        """Pull bodies that a member must hold; at most once in a pull's timeout for each member."""
        now = self._context.now
        if now - self._asked_at.get(holder, -math.inf) < _PULL_TIMEOUT:
            return
        if len(self._asked_at) >= MAX_ASKED:
            self._asked_at.clear()
        self._asked_at[holder] = now
        self._context.send(holder, source, Pull(tuple(keys)))

    def pulled(self, sender: NodeId, source: Endpoint, pull: Pull) -> None:
        """A member pulls bodies: send vouchers first, for they prove the rest."""
        found = [entry for key in pull.keys[: 2 * _PULLS_A_DATAGRAM] if (entry := self._store.entry(key))]
        found.sort(key=lambda entry: entry.signed.fact.kind)
        bodies = [entry.signed.data for entry in self._readable(sender, found)]
        self._context.send_bodies(sender, source, bodies)

    def compare(self, sender: NodeId, source: Endpoint, summary: bytes, eager: bool = False) -> None:
        """Begin a comparison when another member's set hash differs and no news is under way.

        ``eager``: news or not, but one comparison in a round. A member that joins gets hellos from many,
        which all hold the same facts; and where many join, each sends many hellos.
        """
        now, settings = self._context.now, self._context.settings
        if summary == self._store.summary or self._older_sets.is_vain(sender, summary):
            return
        quiet = now - self._last_change > 3 * settings.gossip_period
        patience = settings.sync_period if quiet else 4 * settings.sync_period
        if now - self._last_sync > (settings.gossip_period if eager else patience):
            self._last_sync = now
            self._older_sets.compared(sender, summary)
            self._context.send(sender, source, Buckets(self._store.bucket_hashes()))

    def bucketed(self, sender: NodeId, source: Endpoint, theirs: Buckets) -> None:
        """Bucket hashes came: answer with the rumours of the buckets that differ."""
        buckets: list[int] = []
        rumours: list[Rumour] = []
        for bucket in differing(self._store.bucket_hashes(), theirs.hashes):
            held = self._rumours(sender, self._store.entries_in(bucket))
            if buckets and len(rumours) + len(held) > _RUMOURS_A_DATAGRAM:
                self._context.send(sender, source, Contents(tuple(buckets), tuple(rumours)))
                buckets, rumours = [], []
            buckets.append(bucket)
            rumours += held
        if buckets:
            self._context.send(sender, source, Contents(tuple(buckets), tuple(rumours)))

    def contents(self, sender: NodeId, source: Endpoint | None, held: Contents) -> None:
        """The rumours of some of another's buckets came: pull what prevails, tell it of what it lacks."""
        theirs = {rumour.key: rumour for rumour in held.rumours}
        lacking: list[Rumour] = []
        for bucket in {number for number in held.buckets if number < len(self._store.bucket_hashes())}:
            for ours in self._rumours(sender, self._store.entries_in(bucket)):
                other = theirs.get(ours.key)
                if other is None or prevails(ours.version, ours.mark, other.version, other.mark):
                    lacking.append(ours)
        self._tell(sender, source, lacking)
        asked = [rumour for rumour in held.rumours if bucket_of(rumour.key) in held.buckets]
        self.heard(sender, source, asked)

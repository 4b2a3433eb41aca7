"""Who lives: suspicion, refutation and death of members.

SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard's suspicion that shortens with independent accusers
(Dadgar, Phillips, Currey, 2018). Liveness is apart from records: a pair (incarnation, refutations since
start), which its subject alone raises. Accusations are signed facts: whoever joins later learns of the dead
too; nobody is held dead on the word of a single other while the pool has four members or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mesh.protocol.core import Core
from mesh.protocol.peers import ALIVE, DEAD, LEFT, SUSPECT, Peer
from mesh.protocol.roster import Roster
from mesh.protocol.store import FactStore
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Accusation, Fact, Liveness, Record, Signed, Version
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies

SUSPICION = "suspicion"


class Membership:
    """The peers of one member and its own liveness."""

    def __init__(
        self, core: Core, roster: Roster, store: FactStore, publish: Callable[[Fact], Signed[Any]]
    ) -> None:
        self._core = core
        self._roster = roster
        self._store = store
        self._publish = publish
        self.peers: dict[NodeId, Peer] = {}
        self.order: list[NodeId] = []
        """Every peer once, in the order in which they are probed."""
        self.incarnation = 0
        self.refutations = 0
        self.health = 0
        self.heard_any = False
        self.on_accused: Callable[[Peer], None] = lambda peer: None
        self.on_outrun: Callable[[int], None] = lambda incarnation: None

    # --- views

    def live_count(self) -> int:
        """Members that are alive or suspect, self included."""
        return 1 + sum(1 for peer in self.peers.values() if peer.present)

    def endpoint(self, id: NodeId) -> Endpoint | None:
        peer = self.peers.get(id)
        return peer.endpoint if peer else None

    def is_present(self, id: NodeId) -> bool:
        """Whether the member is not known to be gone (self never is)."""
        if id == self._core.id:
            return True
        peer = self.peers.get(id)
        return peer is not None and peer.present

    def is_gone(self, id: NodeId) -> bool:
        """Whether it is known here to be dead, to have left or not to belong to the pool."""
        if id == self._core.id:
            return False
        peer = self.peers.get(id)
        return id not in self._roster or (peer is not None and not peer.present)

    def pick(self, count: int, but: NodeId | None = None) -> list[Peer]:
        """Some present peers with a known address, at random, each at most once."""
        chosen: list[Peer] = []
        if len(self.order) <= 4 * count:
            there = [self.peers[id] for id in self.order]
            there = [peer for peer in there if peer.present and peer.endpoint and peer.id != but]
            return self._core.random.sample(there, min(count, len(there)))
        for _ in range(4 * count):
            peer = self.peers[self.order[self._core.random.randrange(len(self.order))]]
            if peer.present and peer.endpoint and peer.id != but and peer not in chosen:
                chosen.append(peer)
                if len(chosen) == count:
                    break
        return chosen

    # --- what is heard

    def heard(self, id: NodeId, source: Endpoint) -> Peer | None:
        """A datagram, proven to be this member's, came from there."""
        if not self.heard_any:
            self.heard_any = self._core.stirred = True
        peer = self.peers.get(id)
        if peer is not None:
            peer.source = source
        return peer

    def lives(self, id: NodeId, incarnation: int, refutations: int) -> Peer | None:
        """The member itself says that it lives, at this liveness. None for what is no liveness of another."""
        if id == self._core.id or id not in self._roster.members:
            return None
        peer = self.peers.get(id)
        if peer is None:
            peer = self._meet(id, incarnation)
        elif incarnation < peer.incarnation or (
            incarnation == peer.incarnation and refutations <= peer.refutations
        ):
            return peer
        left = peer.state == LEFT and incarnation == peer.incarnation
        peer.incarnation, peer.refutations = incarnation, refutations
        if not left:
            self._revive(peer)
        self._store.raise_liveness(id, peer.liveness)
        return peer

    def recorded(self, record: Record) -> None:
        """A member's record is new."""
        self._core.members_changed = True
        if record.author == self._core.id:
            if record.incarnation > self.incarnation:
                self.on_outrun(record.incarnation)
            return
        peer = self.lives(record.author, record.incarnation, 0)
        if peer is None:
            return
        peer.record = record
        if record.left and record.incarnation == peer.incarnation:
            self._set_state(peer, LEFT)

    def _meet(self, id: NodeId, incarnation: int) -> Peer:
        peer = self.peers[id] = Peer(id, incarnation)
        self.order.insert(self._core.random.randrange(len(self.order) + 1), id)
        self._core.members_changed = True
        return peer

    def _revive(self, peer: Peer) -> None:
        peer.accusers.clear()
        peer.missed = False
        peer.reset_at = -math.inf
        self._core.cancel(SUSPICION, peer.id)
        self._set_state(peer, ALIVE)

    def _set_state(self, peer: Peer, state: str) -> None:
        if peer.state != state:
            peer.state = state
            self._core.members_changed = True
        if state in (LEFT, DEAD):
            self._core.cancel(SUSPICION, peer.id)

    # --- suspicion

    def accuse(self, peer: Peer) -> None:
        """A probe of the peer failed: say so, unless enough others said it of this liveness already."""
        if not peer.present:
            return
        peer.missed = True
        own = Accusation(self._core.pool, self._core.id, peer.id, *peer.liveness)
        if len(self._store.accusations(peer.id)) < self._core.settings.accusers:
            self._publish(own)
        self.accused(own)

    def accused(self, accusation: Accusation) -> None:
        """Someone (perhaps this very node) accuses a member."""
        if accusation.subject == self._core.id:
            self._refute(accusation.version)
            return
        peer = self.peers.get(accusation.subject)
        if peer is None or not peer.present or accusation.version != peer.liveness:
            return
        if peer.state == ALIVE:
            peer.suspected_at = self._core.now
            self._set_state(peer, SUSPECT)
        elif accusation.author in peer.accusers:
            return
        peer.accusers.add(accusation.author)
        self._core.schedule(SUSPICION, peer.id, max(self._core.now, self._deadline(peer)))
        if not peer.missed:
            self.on_accused(peer)

    def _deadline(self, peer: Peer) -> float:
        """When the suspicion ends: the later the fewer independent accusers there are."""
        settings = self._core.settings
        if peer.missed and peer.reset_at >= peer.suspected_at - settings.lease:
            return peer.suspected_at + settings.reset_suspicion
        live = self.live_count()
        shortest = settings.suspicion * max(1.0, math.log10(live))
        needed = min(settings.accusers, live - 1) - 1
        if needed <= 0:
            return peer.suspected_at + shortest
        share = min(1.0, math.log(len(peer.accusers)) / math.log(needed + 1))
        longest = shortest * settings.suspicion_stretch
        return peer.suspected_at + longest - (longest - shortest) * share

    def suspicion_ends(self, id: NodeId) -> None:
        """The time to refute is over: dead, unless the evidence is another's word alone or an answer came."""
        peer = self.peers.get(id)
        if peer is None or peer.state != SUSPECT:
            return
        enough = peer.missed or len(peer.accusers) >= 2 or self.live_count() < 4
        answered = peer.acked_at > self._core.now - self._core.settings.probe_period
        if enough and not answered:
            self._set_state(peer, DEAD)
            return
        self._core.schedule(SUSPICION, id, self._core.now + self._core.settings.suspicion)
        self.on_accused(peer)

    def reset(self, peer: Peer) -> None:
        """Its process was seen to be gone."""
        peer.reset_at = self._core.now
        if peer.state == SUSPECT and peer.missed:
            self._core.schedule(SUSPICION, peer.id, max(self._core.now, self._deadline(peer)))

    def stalled(self) -> None:
        """This process was paused: whom it suspects gets the whole time to refute once more."""
        self.health = min(self._core.settings.max_health, self.health + 2)
        for peer in self.peers.values():
            if peer.state == SUSPECT:
                peer.suspected_at = self._core.now
                self._core.schedule(SUSPICION, peer.id, self._deadline(peer))

    def inform(self, peer: Peer, endpoint: Endpoint) -> None:
        """Let a suspected or dead member know what it is accused of, so that it can refute."""
        accusations = tuple(signed.data for signed in self._store.accusations(peer.id))
        if accusations:
            self._core.send(peer.id, endpoint, Bodies(accusations))

    def _refute(self, liveness: Version) -> None:
        if liveness != (self.incarnation, self.refutations):
            return
        self.refutations += 1
        self.health = min(self._core.settings.max_health, self.health + 1)
        self._store.raise_liveness(self._core.id, (self.incarnation, self.refutations))
        self._publish(Liveness(self._core.pool, self._core.id, self.incarnation, self.refutations))

    def begin(self, incarnation: int) -> None:
        """This process starts (or overtakes a newer trace of itself) with this incarnation."""
        self.incarnation, self.refutations = incarnation, 0
        self._store.raise_liveness(self._core.id, (incarnation, 0))

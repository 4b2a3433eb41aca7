"""Suspicion, refutation and death of members.

SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard's suspicion that shortens with independent suspectors
(Dadgar, Phillips, Currey, 2018). Liveness is apart from records: a pair (generation, incarnation), which its
subject alone raises. Suspicions are signed facts, so members that join later learn of the dead too. In a pool
of four members or more no node holds a member dead on the word of a single other.
"""

from __future__ import annotations

import math

from mesh.protocol.base.context import Context
from mesh.protocol.base.internal_events import (
    FinalProbeDue,
    MemberGone,
    NewerGenerationSeen,
    SuspicionRaised,
)
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.membership.flap_detection import FlapDetector
from mesh.protocol.membership.peers import GONE, MemberState, Peer
from mesh.protocol.trust.roster import Roster
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number
from mesh.wire.facts import Liveness, Record, Suspicion
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies

SUSPICION = "suspicion"
_MAX_LEAP = 2**20
_MANY = 10
"""In a pool of so many, a sole suspector waits longer by its local health multiplier (Lifeguard)."""


class Membership:
    """The peers of one member and its own liveness."""

    def __init__(
        self,
        context: Context,
        roster: Roster,
        store: FactStore,
        validator: FactValidator,
        present: set[NodeId],
    ) -> None:
        """``present``: an empty set; this part keeps in it the peers that are alive or suspect."""
        self._context = context
        self._roster = roster
        self._store = store
        self._validator = validator
        self.peers: dict[NodeId, Peer] = {}
        self.order: list[NodeId] = []
        """Every peer once, in the order of the round robin."""
        self.dead: dict[NodeId, Peer] = {}
        self.generation = 0
        self.nonce = b""
        self.incarnation = 0
        self.flap_detector = FlapDetector(context.settings)
        self.local_health = 0
        self.heard_any = False
        self._present = present

    # --- views

    def live_count(self) -> int:
        """How many members are alive or suspect, this node included."""
        return 1 + len(self._present)

    def endpoint(self, id: NodeId) -> Endpoint | None:
        peer = self.peers.get(id)
        return peer.endpoint if peer else None

    def is_present(self, id: NodeId) -> bool:
        """Whether the member is alive or suspect (this node always is)."""
        if id == self._context.id:
            return True
        peer = self.peers.get(id)
        return peer is not None and peer.present

    def is_gone(self, id: NodeId) -> bool:
        """Whether this node knows that the member is dead, left, or does not belong to the pool."""
        if id == self._context.id:
            return False
        peer = self.peers.get(id)
        return id not in self._roster or (peer is not None and not peer.present)

    def pick(self, count: int, but: NodeId | None = None) -> list[Peer]:
        """Some present peers with a known address, at random, each at most once."""
        chosen: list[Peer] = []
        if len(self.order) <= 4 * count:
            there = [self.peers[id] for id in self.order]
            there = [peer for peer in there if peer.present and peer.endpoint and peer.id != but]
            return self._context.random.sample(there, min(count, len(there)))
        for _ in range(4 * count):
            peer = self.peers[self.order[self._context.random.randrange(len(self.order))]]
            if peer.present and peer.endpoint and peer.id != but and peer not in chosen:
                chosen.append(peer)
                if len(chosen) == count:
                    break
        return chosen

    # --- what is heard

    def heard(self, id: NodeId, source: Endpoint) -> Peer | None:
        """A datagram that this member proved to have sent came from ``source``."""
        if not self.heard_any:
            self.heard_any = self._context.leadership_dirty = True
        peer = self.peers.get(id) or self._restore_forgotten(id)
        if peer is not None:
            peer.source = source
        return peer

    def lives(self, id: NodeId, generation: int, incarnation: int, stable: bool = True) -> Peer | None:
        """The member says that it lives, at this liveness.

        Returns its peer; None for this node, strangers, and old news of a forgotten member.
        """
        if id == self._context.id or id not in self._roster.members:
            return None
        peer = self.peers.get(id)
        if peer is None:
            if (generation, incarnation) <= self._store.liveness(id):
                return None  # this node has forgotten the member, and learns nothing new of it
            peer = self._add_peer(id, generation)
        elif generation < peer.generation or (
            generation == peer.generation and incarnation <= peer.incarnation
        ):
            return peer
        else:
            peer.doubted_at = self._context.now  # it was suspected, or is another run
            if generation > peer.generation:
                # Perhaps at another address: the proof of the former run's is void.
                peer.proven = peer.source = None
                peer.is_understood = True
        left = peer.state is MemberState.LEFT and generation == peer.generation
        peer.generation, peer.incarnation, peer.stable = generation, incarnation, stable
        peer.raised_at = self._context.now
        if not left:
            self._clear_suspicion(peer)
            self._set_state(peer, MemberState.ALIVE if stable and peer.is_understood else MemberState.DEAD)
        self._store.raise_liveness(id, peer.liveness)
        return peer

    def recorded(self, record: Record) -> None:
        """A member's new record was stored."""
        self._context.members_changed = True
        if record.author == self._context.id:
            another = record.generation == self.generation and record.nonce != self.nonce
            if record.generation > self.generation or another:
                self._context.emit(NewerGenerationSeen(record.generation))
            return
        peer = self.lives(record.author, record.generation, 0)
        if peer is None:
            return
        if peer.record is not None and peer.record.profile.addresses != record.profile.addresses:
            peer.proven = peer.source = None
            peer.doubted_at = self._context.now
        peer.record = record
        peer.is_understood = self._understands(record, peer.generation)
        if not peer.is_understood:
            self._set_state(peer, MemberState.DEAD)
        if record.left and record.generation == peer.generation:
            self._set_state(peer, MemberState.LEFT)

    def _understands(self, record: Record | None, generation: int) -> bool:
        """Whether this run of a member speaks a wire version of this node's, as far as its record says."""
        if record is None or record.generation != generation:
            return True
        return self._context.speaks.common(record.speaks) is not None

    def _add_peer(self, id: NodeId, generation: int) -> Peer:
        stored = self._store.get(Record, id)  # there is one if this node has forgotten the member
        record = None if stored is None else stored.fact
        peer = self.peers[id] = Peer(id, generation, record=record)
        peer.is_understood = self._understands(record, generation)
        self._present.add(id)
        self.order.insert(self._context.random.randrange(len(self.order) + 1), id)
        self._context.members_changed = True
        return peer

    def _restore_forgotten(self, id: NodeId) -> Peer | None:
        """A forgotten member speaks: restore it from its facts, so that it can refute its suspicions."""
        liveness = self._store.liveness(id)
        if not liveness or id == self._context.id or id not in self._roster.members:
            return None
        peer = self._add_peer(id, liveness[0])
        peer.incarnation = liveness[1]
        record, proof = peer.record, self._store.get(Liveness, id)
        peer.stable = proof is None or proof.fact.version != liveness or proof.fact.stable
        if record is not None and record.left and record.generation == peer.generation:
            self._set_state(peer, MemberState.LEFT)
        elif self._store.suspicions(id) or not (peer.stable and peer.is_understood):
            self._set_state(peer, MemberState.DEAD)
        return peer

    def clear_unsuspected(self) -> None:
        """Suspicions became void: a peer without any is alive until a probe of it fails."""
        for peer in self.peers.values():
            doubted = peer.state in (MemberState.SUSPECT, MemberState.DEAD)
            if doubted and peer.stable and peer.is_understood and not self._store.suspicions(peer.id):
                self._clear_suspicion(peer)
                self._set_state(peer, MemberState.ALIVE)

    def forget(self, id: NodeId) -> None:
        """Neither probe nor count the member any more; its facts stay in the store."""
        peer = self.peers.pop(id, None)
        if peer is not None:
            self._present.discard(id)
            self.order.remove(id)
            self.dead.pop(id, None)
            self._context.cancel(SUSPICION, id)
            self._context.members_changed = True
            self._context.emit(MemberGone())

    def _clear_suspicion(self, peer: Peer) -> None:
        peer.suspectors.clear()
        peer.missed = False
        peer.reset_at = -math.inf
        self._context.cancel(SUSPICION, peer.id)

    def _set_state(self, peer: Peer, state: MemberState) -> None:
        if peer.state is not state:
            peer.state = state
            peer.changed_at = peer.doubted_at = self._context.now
            if peer.present:
                self._present.add(peer.id)
            else:
                self._present.discard(peer.id)
            self._context.members_changed = True
            if state is MemberState.DEAD:
                self.dead[peer.id] = peer
            else:
                self.dead.pop(peer.id, None)
        if state in GONE:
            self._context.cancel(SUSPICION, peer.id)
            self._context.emit(MemberGone())

    # --- suspicion

    def suspect(self, peer: Peer, refused: bool = False) -> None:
        """A probe of the peer failed: publish a suspicion, unless enough others have of this liveness."""
        if not peer.present:
            return
        peer.missed = True
        if not self.flap_detector.stable:
            return  # this node's own link may well be the reason
        held = self._store.suspicions(peer.id)
        if len(held) < self._context.settings.suspectors and all(
            s.fact.author != self._context.id for s in held
        ):
            self._validator.publish(
                Suspicion(self._context.pool, self._context.id, peer.id, *peer.liveness, refused)
            )
            if peer.endpoint is not None:
                self.inform(peer, peer.endpoint)
        self.suspected(Suspicion(self._context.pool, self._context.id, peer.id, *peer.liveness, refused))

    def suspected(self, suspicion: Suspicion) -> None:
        """A member (perhaps this node itself) suspects another."""
        if suspicion.subject == self._context.id:
            self._refute(suspicion)
            return
        peer = self.peers.get(suspicion.subject)
        if peer is None or not peer.present or suspicion.version != peer.liveness:
            return
        if peer.state is MemberState.ALIVE:
            self._begin_suspicion(peer)
            self._set_state(peer, MemberState.SUSPECT)
        elif suspicion.author in peer.suspectors:
            return
        peer.suspectors.add(suspicion.author)
        self._schedule_next(peer)
        if not peer.missed and self._is_volunteer(suspicion.refused):
            self._context.emit(SuspicionRaised(peer.id, suspicion.refused))

    def _begin_suspicion(self, peer: Peer) -> None:
        peer.suspected_at = self._context.now
        peer.final_probed = False

    def _is_volunteer(self, refused: bool) -> bool:
        """Whether to volunteer as a prober: all of a small pool do, of a large one about a few."""
        settings = self._context.settings
        wanted = settings.all_volunteers if refused else settings.volunteers
        others = self.live_count() - 2
        return others <= settings.all_volunteers or self._context.random.random() * others < wanted

    def _schedule_next(self, peer: Peer) -> None:
        """Set the timer for what comes next in a suspicion: the final probe, or its end."""
        at = self._deadline(peer)
        if not (peer.final_probed or self._was_reset(peer)):
            at -= self._context.settings.final_probe
        self._context.schedule(SUSPICION, peer.id, max(self._context.now, at))

    def _was_reset(self, peer: Peer) -> bool:
        """Whether this node itself saw during this suspicion that the suspect's process is gone."""
        return peer.missed and peer.reset_at >= peer.suspected_at - self._context.settings.lease

    def _deadline(self, peer: Peer) -> float:
        """When the suspicion ends: later with fewer independent suspectors (Lifeguard), in seconds."""
        settings = self._context.settings
        if self._was_reset(peer):
            return peer.suspected_at + settings.reset_suspicion_timeout
        live = self.live_count()
        shortest = settings.suspicion_timeout * max(1.0, math.log10(live) - 1.0)
        shortest = max(shortest, settings.probe_timeout + 3.0 * peer.patience)
        needed = min(settings.suspectors, live - 1) - 1
        if needed <= 0:
            return peer.suspected_at + shortest
        share = min(1.0, math.log(len(peer.suspectors)) / math.log(needed + 1))
        longest = shortest * settings.suspicion_timeout_stretch
        if live >= _MANY and peer.suspectors == {self._context.id}:
            longest *= 1 + self.local_health
        return peer.suspected_at + longest - (longest - shortest) * share

    def suspicion_ends(self, id: NodeId) -> None:
        """The time to refute is over: dead, unless the peer answered or one other alone suspects it."""
        peer = self.peers.get(id)
        if peer is None or peer.state is not MemberState.SUSPECT:
            return
        settings = self._context.settings
        if not peer.final_probed and not self._was_reset(peer):
            peer.final_probed = True
            if peer.missed or self.live_count() <= settings.all_volunteers:
                self._context.emit(FinalProbeDue(peer.id))
            self._schedule_next(peer)
            return
        trusted = self.flap_detector.stable or not peer.suspectors <= {self._context.id}
        enough = (peer.missed and trusted) or len(peer.suspectors) >= 2 or self.live_count() < 4
        answered = peer.acked_at > peer.suspected_at
        if enough and not answered:
            self._set_state(peer, MemberState.DEAD)
        else:
            self._begin_suspicion(peer)
            self._schedule_next(peer)

    def reset(self, peer: Peer) -> None:
        """This node saw that the peer's process is gone."""
        peer.reset_at = self._context.now
        if peer.state is MemberState.SUSPECT and peer.missed:
            self._schedule_next(peer)

    def stalled(self) -> None:
        """This process was paused: each of its suspects gets the whole time to refute once more."""
        self.local_health = min(self._context.settings.max_local_health, self.local_health + 2)
        for peer in self.peers.values():
            if peer.state is MemberState.SUSPECT:
                self._begin_suspicion(peer)
                self._schedule_next(peer)

    def inform(self, peer: Peer, endpoint: Endpoint) -> None:
        """Send a suspect or dead member the suspicions of it, so that it can refute."""
        suspicions = tuple(signed.data for signed in self._store.suspicions(peer.id))
        if suspicions:
            self._context.send(peer.id, endpoint, Bodies(suspicions))

    def _refute(self, suspicion: Suspicion) -> None:
        """A member suspects this node: refute, or enter quarantine when that happens too often."""
        ahead = suspicion.incarnation - self.incarnation
        if suspicion.generation != self.generation or ahead > _MAX_LEAP or not self.flap_detector.stable:
            return
        self.incarnation = max(self.incarnation, suspicion.incarnation)
        live, unstable = self.live_count(), sum(not peer.stable for peer in self.dead.values())
        now, author, liveness = self._context.now, suspicion.author, suspicion.version
        if self.flap_detector.suspected(now, author, liveness, live, unstable):
            self._enter_quarantine()
        elif suspicion.version == (self.generation, self.incarnation):
            self.local_health = min(self._context.settings.max_local_health, self.local_health + 1)
            self._raise_incarnation()

    def judge_link(self, direct: bool) -> None:
        """A member answered a probe in turn, ``direct``: its first ping, rather than a later try."""
        held = self.flap_detector.stable
        unstable = sum(not peer.stable for peer in self.dead.values())
        if self.flap_detector.probed(self._context.now, direct, self.live_count(), unstable):
            (self._enter_quarantine if held else self._leave_quarantine)()

    def reaches_nobody(self) -> bool:
        """Whether this node is quarantined and no member answers it: it is alone anyhow."""
        return not self.flap_detector.stable and all(
            peer.missed for peer in self.peers.values() if peer.present
        )

    def judge_alone(self) -> None:
        """There was no member to probe, or none that answers."""
        if self.flap_detector.alone(self._context.now):
            self._leave_quarantine()

    def _enter_quarantine(self) -> None:
        self._context.notice("warning", "most members cannot reach this machine: quarantined for a while")
        self._raise_incarnation()

    def _leave_quarantine(self) -> None:
        self._context.notice("info", "members reach this machine again: its quarantine is over")
        self._raise_incarnation()

    def _raise_incarnation(self) -> None:
        self.incarnation += 1
        self._context.leadership_dirty = True
        self._store.raise_liveness(self._context.id, (self.generation, self.incarnation))
        liveness = (self.generation, self.incarnation, self.flap_detector.stable)
        self._validator.publish(Liveness(self._context.pool, self._context.id, *liveness))

    def liveness_stored(self, liveness: Liveness) -> None:
        """A liveness was stored, of a member or of this node."""
        if liveness.author == self._context.id:
            self._own_liveness_stored(liveness)
        else:
            self.lives(liveness.author, liveness.generation, liveness.incarnation, liveness.stable)

    def _own_liveness_stored(self, own: Liveness) -> None:
        """An own liveness came in: one that this run does not know of means a state rollback."""
        if own.generation > self.generation:
            self._context.emit(NewerGenerationSeen(own.generation))
        elif own.generation == self.generation and own.incarnation > self.incarnation:
            self.incarnation = own.incarnation
            self._raise_incarnation()

    def begin(self, generation: int, nonce: bytes) -> None:
        """This process starts, or advances beyond a later trace of itself, with this generation."""
        self.generation, self.nonce, self.incarnation = generation, nonce, 0
        self._context.sent = max(self._context.sent, first_number(generation))
        self.flap_detector.restart()
        self._store.raise_liveness(self._context.id, (generation, 0))

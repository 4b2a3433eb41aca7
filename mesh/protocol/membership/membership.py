"""Who lives: suspicion, refutation and death of members.

SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard's suspicion that shortens with independent accusers
(Dadgar, Phillips, Currey, 2018). Liveness is apart from records: a pair (generation, incarnation), which its
subject alone raises. Accusations are signed facts: whoever joins later learns of the dead too; nobody is held
dead on the word of a single other while the pool has four members or more.
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
from mesh.protocol.membership.peers import ALIVE, DEAD, LEFT, SUSPECT, Peer
from mesh.protocol.trust.roster import Roster
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number
from mesh.wire.facts import Liveness, Record, Suspicion
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies

SUSPICION = "suspicion"
_MAX_LEAP = 2**20
_MANY = 10
"""In a pool of so many, whoever alone accuses doubts itself as much as its own probes give reason to."""


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
        """``present``: an empty set, which is kept to the peers that are not known to be gone."""
        self._context = context
        self._roster = roster
        self._store = store
        self._validator = validator
        self.peers: dict[NodeId, Peer] = {}
        self.order: list[NodeId] = []
        """Every peer once, in the order in which they are probed."""
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
        """Members that are alive or suspect, self included."""
        return 1 + len(self._present)

    def endpoint(self, id: NodeId) -> Endpoint | None:
        peer = self.peers.get(id)
        return peer.endpoint if peer else None

    def is_present(self, id: NodeId) -> bool:
        """Whether the member is not known to be gone (self never is)."""
        if id == self._context.id:
            return True
        peer = self.peers.get(id)
        return peer is not None and peer.present

    def is_gone(self, id: NodeId) -> bool:
        """Whether it is known here to be dead, to have left or not to belong to the pool."""
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
        """A datagram, proven to be this member's, came from there."""
        if not self.heard_any:
            self.heard_any = self._context.leadership_dirty = True
        peer = self.peers.get(id) or self._recall(id)
        if peer is not None:
            peer.source = source
        return peer

    def lives(self, id: NodeId, generation: int, incarnation: int, stable: bool = True) -> Peer | None:
        """The member itself says that it lives, at this liveness. None for what is no liveness of another."""
        if id == self._context.id or id not in self._roster.members:
            return None
        peer = self.peers.get(id)
        if peer is None:
            if (generation, incarnation) <= self._store.liveness(id):
                return None  # it was forgotten, and this is nothing new
            peer = self._add_peer(id, generation)
        elif generation < peer.generation or (
            generation == peer.generation and incarnation <= peer.incarnation
        ):
            return peer
        elif generation > peer.generation:
            # Another run of its process, perhaps at another address: what the last one proved is void.
            peer.proven = peer.source = None
        left = peer.state == LEFT and generation == peer.generation
        peer.generation, peer.incarnation, peer.stable = generation, incarnation, stable
        peer.raised_at = self._context.now
        if not left:
            self._clear(peer)
            self._set_state(peer, ALIVE if stable else DEAD)
        self._store.raise_liveness(id, peer.liveness)
        return peer

    def recorded(self, record: Record) -> None:
        """A member's record is new."""
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
        peer.record = record
        if record.left and record.generation == peer.generation:
            self._set_state(peer, LEFT)

    def _add_peer(self, id: NodeId, generation: int) -> Peer:
        record = self._store.get(Record, id)  # it was a peer before, and forgotten
        peer = self.peers[id] = Peer(id, generation, record=None if record is None else record.fact)
        self._present.add(id)
        self.order.insert(self._context.random.randrange(len(self.order) + 1), id)
        self._context.members_changed = True
        return peer

    def _recall(self, id: NodeId) -> Peer | None:
        """One that was forgotten speaks: it is what its facts say, and can be told of what it is accused."""
        liveness = self._store.liveness(id)
        if not liveness or id == self._context.id or id not in self._roster.members:
            return None
        peer = self._add_peer(id, liveness[0])
        peer.incarnation = liveness[1]
        record, proof = peer.record, self._store.get(Liveness, id)
        peer.stable = proof is None or proof.fact.version != liveness or proof.fact.stable
        if record is not None and record.left and record.generation == peer.generation:
            self._set_state(peer, LEFT)
        elif self._store.suspicions(id) or not peer.stable:
            self._set_state(peer, DEAD)
        return peer

    def clear_unsuspected(self) -> None:
        """Accusations became void: whoever is accused by nobody any more lives until it is found silent."""
        for peer in self.peers.values():
            if peer.state in (SUSPECT, DEAD) and peer.stable and not self._store.suspicions(peer.id):
                self._clear(peer)
                self._set_state(peer, ALIVE)

    def forget(self, id: NodeId) -> None:
        """It is neither asked nor counted any more; what is stored of it stays."""
        peer = self.peers.pop(id, None)
        if peer is not None:
            self._present.discard(id)
            self.order.remove(id)
            self.dead.pop(id, None)
            self._context.cancel(SUSPICION, id)
            self._context.members_changed = True
            self._context.emit(MemberGone())

    def _clear(self, peer: Peer) -> None:
        peer.suspectors.clear()
        peer.missed = False
        peer.reset_at = -math.inf
        self._context.cancel(SUSPICION, peer.id)

    def _set_state(self, peer: Peer, state: str) -> None:
        if peer.state != state:
            peer.state = state
            peer.changed_at = self._context.now
            if peer.present:
                self._present.add(peer.id)
            else:
                self._present.discard(peer.id)
            self._context.members_changed = True
            if state == DEAD:
                self.dead[peer.id] = peer
            else:
                self.dead.pop(peer.id, None)
        if state in (LEFT, DEAD):
            self._context.cancel(SUSPICION, peer.id)
            self._context.emit(MemberGone())

    # --- suspicion

    def suspect(self, peer: Peer, refused: bool = False) -> None:
        """A probe of the peer failed: say so, unless enough others said it of this liveness already."""
        if not peer.present:
            return
        peer.missed = True
        if not self.flap_detector.stable:
            return  # it may well be the accuser's own link
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
        """Someone (perhaps this very node) accuses a member."""
        if suspicion.subject == self._context.id:
            self._answer(suspicion)
            return
        peer = self.peers.get(suspicion.subject)
        if peer is None or not peer.present or suspicion.version != peer.liveness:
            return
        if peer.state == ALIVE:
            self._begin_suspicion(peer)
            self._set_state(peer, SUSPECT)
        elif suspicion.author in peer.suspectors:
            return
        peer.suspectors.add(suspicion.author)
        self._await(peer)
        if not peer.missed and self._is_volunteer(suspicion.refused):
            self._context.emit(SuspicionRaised(peer.id, suspicion.refused))

    def _begin_suspicion(self, peer: Peer) -> None:
        peer.suspected_at = self._context.now
        peer.final_probed = False

    def _is_volunteer(self, refused: bool) -> bool:
        """Whether to see for oneself: all of a small pool do, of a large one about so many as are needed."""
        settings = self._context.settings
        wanted = settings.all_volunteers if refused else settings.volunteers
        others = self.live_count() - 2
        return others <= settings.all_volunteers or self._context.random.random() * others < wanted

    def _await(self, peer: Peer) -> None:
        """Set the timer for what comes next in a suspicion: its last call, or its end."""
        at = self._deadline(peer)
        if not (peer.final_probed or self._was_reset(peer)):
            at -= self._context.settings.final_probe
        self._context.schedule(SUSPICION, peer.id, max(self._context.now, at))

    def _was_reset(self, peer: Peer) -> bool:
        """Whether this node itself saw that the suspect's process is gone."""
        return peer.missed and peer.reset_at >= peer.suspected_at - self._context.settings.lease

    def _deadline(self, peer: Peer) -> float:
        """When the suspicion ends: the later the fewer independent accusers there are."""
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
        """The time to refute is over: dead, unless the evidence is another's word alone or an answer came."""
        peer = self.peers.get(id)
        if peer is None or peer.state != SUSPECT:
            return
        settings = self._context.settings
        if not peer.final_probed and not self._was_reset(peer):
            peer.final_probed = True
            if peer.missed or self.live_count() <= settings.all_volunteers:
                self._context.emit(FinalProbeDue(peer.id))
            self._await(peer)
            return
        trusted = self.flap_detector.stable or not peer.suspectors <= {self._context.id}
        enough = (peer.missed and trusted) or len(peer.suspectors) >= 2 or self.live_count() < 4
        answered = peer.acked_at > peer.suspected_at
        if enough and not answered:
            self._set_state(peer, DEAD)
        else:
            self._begin_suspicion(peer)
            self._await(peer)

    def reset(self, peer: Peer) -> None:
        """Its process was seen to be gone."""
        peer.reset_at = self._context.now
        if peer.state == SUSPECT and peer.missed:
            self._await(peer)

    def stalled(self) -> None:
        """This process was paused: whom it suspects gets the whole time to refute once more."""
        self.local_health = min(self._context.settings.max_local_health, self.local_health + 2)
        for peer in self.peers.values():
            if peer.state == SUSPECT:
                self._begin_suspicion(peer)
                self._await(peer)

    def inform(self, peer: Peer, endpoint: Endpoint) -> None:
        """Let a suspected or dead member know what it is accused of, so that it can refute."""
        suspicions = tuple(signed.data for signed in self._store.suspicions(peer.id))
        if suspicions:
            self._context.send(peer.id, endpoint, Bodies(suspicions))

    def _answer(self, suspicion: Suspicion) -> None:
        """This very member is accused: refute, or, when it is so for ever, admit that it flaps."""
        ahead = suspicion.incarnation - self.incarnation
        if suspicion.generation != self.generation or ahead > _MAX_LEAP or not self.flap_detector.stable:
            return
        self.incarnation = max(self.incarnation, suspicion.incarnation)
        live, unstable = self.live_count(), sum(not peer.stable for peer in self.dead.values())
        now, author, liveness = self._context.now, suspicion.author, suspicion.version
        if self.flap_detector.suspected(now, author, liveness, live, unstable):
            self._stay_away()
        elif suspicion.version == (self.generation, self.incarnation):
            self.local_health = min(self._context.settings.max_local_health, self.local_health + 1)
            self._raise()

    def judge_link(self, direct: bool) -> None:
        """A probe in turn was answered, its first ping or only what was tried after it."""
        held = self.flap_detector.stable
        unstable = sum(not peer.stable for peer in self.dead.values())
        if self.flap_detector.probed(self._context.now, direct, self.live_count(), unstable):
            (self._stay_away if held else self._recover)()

    def reaches_nobody(self) -> bool:
        """Whether this node stays away from a pool of which nobody answers: it is alone anyhow."""
        return not self.flap_detector.stable and all(
            peer.missed for peer in self.peers.values() if peer.present
        )

    def judge_alone(self) -> None:
        """There was nobody to be probed, or nobody who answers."""
        if self.flap_detector.alone(self._context.now):
            self._recover()

    def _stay_away(self) -> None:
        self._context.notice("warning", "most others cannot reach this machine well: it stays away a while")
        self._raise()

    def _recover(self) -> None:
        self._context.notice("info", "this machine can be reached again")
        self._raise()

    def _raise(self) -> None:
        self.incarnation += 1
        self._context.leadership_dirty = True
        self._store.raise_liveness(self._context.id, (self.generation, self.incarnation))
        liveness = (self.generation, self.incarnation, self.flap_detector.stable)
        self._validator.publish(Liveness(self._context.pool, self._context.id, *liveness))

    def liveness_stored(self, liveness: Liveness) -> None:
        """A member says that it lives, or this very node did."""
        if liveness.author == self._context.id:
            self._outlived(liveness)
        else:
            self.lives(liveness.author, liveness.generation, liveness.incarnation, liveness.stable)

    def _outlived(self, own: Liveness) -> None:
        """A liveness of this very node came in that it knows nothing of: its disk was set back."""
        if own.generation > self.generation:
            self._context.emit(NewerGenerationSeen(own.generation))
        elif own.generation == self.generation and own.incarnation > self.incarnation:
            self.incarnation = own.incarnation
            self._raise()

    def begin(self, generation: int, nonce: bytes) -> None:
        """This process starts (or overtakes a newer trace of itself) with this generation."""
        self.generation, self.nonce, self.incarnation = generation, nonce, 0
        self._context.sent = max(self._context.sent, first_number(generation))
        self.flap_detector.restart()
        self._store.raise_liveness(self._context.id, (generation, 0))

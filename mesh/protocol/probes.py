"""Asking members whether they live: round robin, out of turn, through others, by TCP.

The local health multiplier (Lifeguard) stretches periods and time limits while this node's own probes go
wrong in ways that speak against itself: those asked to help do not answer either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mesh.protocol.core import Core
from mesh.protocol.effects import ProbeStream
from mesh.protocol.membership import Membership
from mesh.protocol.peers import ALIVE, DEAD, SUSPECT, Peer
from mesh.protocol.store import FactStore
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import NodeId
from mesh.wire.messages import Ack, Nack, Ping, PingRequest, Relayed

PERIOD, DIRECT, END, RELAY = "probe", "probe-direct", "probe-end", "probe-relay"
_MAX_RELAYED = 256
_MAX_ENDPOINTS = 4
_ASK_DEAD = 4.0
"""About how often a period each dead member is asked by the whole pool, in a pool of many."""


@dataclass(slots=True)
class _Probe:
    """One question under way."""

    peer: NodeId
    token: int
    started: float
    relays: set[NodeId] = field(default_factory=set)
    nacks: set[NodeId] = field(default_factory=set)
    regular: bool = True
    mute: bool = False
    """A last call: its failure is nothing new, so it is not told."""
    refused: bool = False


@dataclass(slots=True)
class _Relay:
    """A question asked in another's stead."""

    asker: NodeId
    endpoint: Endpoint
    target: NodeId


class Prober:
    """The probes of one member."""

    def __init__(self, core: Core, store: FactStore, membership: Membership) -> None:
        self._core = core
        self._store = store
        self._membership = membership
        self._probes: dict[int, _Probe] = {}
        self._probed: dict[NodeId, int] = {}
        self._relayed: dict[int, _Relay] = {}
        self._next = 0
        self._asked_dead = 0.0
        membership.on_accused = lambda peer, hurry: self.probe(peer, hurry=hurry)
        membership.on_last_call = lambda peer: self.probe(peer, mute=True, hurry=True)

    @property
    def _stretch(self) -> int:
        return 1 + self._membership.health if self._membership.steadiness.holds else 1

    def start(self) -> None:
        """Begin the round robin, at a random phase."""
        period = self._core.settings.probe_period
        self._core.schedule(PERIOD, b"", self._core.now + period * self._core.random.random())

    def tick(self) -> None:
        """One period: probe the next in turn, and now and then ask a dead member whether it is back."""
        period = self._core.settings.probe_period
        self._core.schedule(PERIOD, b"", self._core.now + period * self._stretch)
        peer = self._next_in_turn()
        if peer is not None:
            self.probe(peer, regular=True)
        else:
            self._membership.judge_alone()
        self._ask_dead()

    def _next_in_turn(self) -> Peer | None:
        order = self._membership.order
        for _ in range(len(order)):
            if self._next >= len(order):
                self._next = 0
                self._core.random.shuffle(order)
            peer = self._membership.peers[order[self._next]]
            self._next += 1
            if peer.present and peer.endpoint is not None:
                return peer
        return None

    def _ask_dead(self) -> None:
        if self._core.now - self._asked_dead < self._core.settings.dead_period:
            return
        dead, random = self._membership.dead, self._core.random
        if not dead:
            return
        self._asked_dead = self._core.now
        live = self._membership.live_count()
        if random.random() * live >= _ASK_DEAD * len(dead):
            return
        peer = dead[list(dead)[random.randrange(len(dead))]]
        endpoints = peer.endpoints()
        if endpoints:
            self._ping(peer, endpoints[random.randrange(len(endpoints))], 0)

    def probe(self, peer: Peer, regular: bool = False, hurry: bool = False, mute: bool = False) -> None:
        """Ask a member now, unless a question to it is under way; in a hurry by TCP at the same time."""
        endpoint = peer.endpoint
        if endpoint is None:
            return
        if peer.id in self._probed:
            if hurry:
                self._core.effects.append(ProbeStream(peer.id, endpoint, self._probed[peer.id]))
            return
        token = self._core.random.getrandbits(48) + 1
        self._probes[token] = _Probe(peer.id, token, self._core.now, regular=regular, mute=mute)
        self._probed[peer.id] = token
        self._ping(peer, endpoint, token)
        if hurry:
            self._core.effects.append(ProbeStream(peer.id, endpoint, token))
        patience = max(self._core.settings.direct_timeout, peer.patience) * self._stretch
        self._core.schedule(DIRECT, token.to_bytes(8, "big"), self._core.now + patience)

    def _ping(self, peer: Peer, endpoint: Endpoint, token: int) -> None:
        mine = self._membership
        if peer.state in (SUSPECT, DEAD):
            mine.inform(peer, endpoint)
        ping = Ping(token, self._store.summary, mine.incarnation, mine.refutations)
        self._core.send(peer.id, endpoint, ping)

    def direct_is_late(self, subject: bytes) -> None:
        """No direct answer: try its other addresses, TCP, and ask others to try."""
        probe = self._probes.get(int.from_bytes(subject, "big"))
        peer = self._membership.peers.get(probe.peer) if probe else None
        if probe is None or peer is None or peer.endpoint is None:
            return
        settings = self._core.settings
        more = settings.probe_timeout - settings.direct_timeout
        patience = (max(settings.direct_timeout, peer.patience) + more) * self._stretch
        self._core.schedule(END, subject, max(self._core.now, probe.started + patience))
        endpoints = peer.endpoints()[:_MAX_ENDPOINTS]
        for endpoint in endpoints:
            if endpoint != peer.endpoint or len(endpoints) == 1:
                self._ping(peer, endpoint, probe.token)
        self._core.effects.append(ProbeStream(peer.id, peer.endpoint, probe.token))
        # A last call tries harder, for a life hangs on it.
        relays = self._core.settings.relays * (2 if probe.mute else 1)
        for relay in self._membership.pick(relays, but=peer.id):
            if relay.endpoint is not None:
                probe.relays.add(relay.id)
                self._core.send(relay.id, relay.endpoint, PingRequest(probe.token, peer.id, peer.endpoint))

    def ended(self, subject: bytes) -> None:
        """The time for an answer is over: accuse."""
        probe = self._probes.pop(int.from_bytes(subject, "big"), None)
        if probe is None:
            return
        self._probed.pop(probe.peer, None)
        self._core.cancel(DIRECT, subject)
        self._core.cancel(END, subject)
        peer = self._membership.peers.get(probe.peer)
        if probe.relays - probe.nacks and not probe.refused:
            self._judge_self(+1)
        if peer is not None:
            if probe.regular and peer.state == ALIVE and not probe.refused:
                self._membership.judge_link(direct=False)
            if probe.refused:
                self._membership.reset(peer)
            if not probe.mute or probe.refused:
                self._membership.accuse(peer, probe.refused)

    def forget(self, id: NodeId) -> None:
        """Whoever this was needs no answer and gives none."""
        token = self._probed.pop(id, None)
        if token is not None:
            del self._probes[token]
            self._core.cancel(DIRECT, token.to_bytes(8, "big"))
            self._core.cancel(END, token.to_bytes(8, "big"))

    def stop(self) -> None:
        """Ask nobody any more."""
        self._core.cancel(PERIOD, b"")
        self.abandon()

    def abandon(self) -> None:
        """This process was paused: no question that was under way says anything."""
        for token in list(self._probes):
            subject = token.to_bytes(8, "big")
            self._core.cancel(DIRECT, subject)
            self._core.cancel(END, subject)
        self._probes.clear()
        self._probed.clear()
        self._relayed.clear()

    def _judge_self(self, change: int) -> None:
        mine = self._membership
        mine.health = min(self._core.settings.max_health, max(0, mine.health + change))

    # --- answers

    def acked(self, sender: NodeId, source: Endpoint | None, token: int) -> None:
        """The member answered; ``source`` is None when the answer came through another or by TCP."""
        probe = self._probes.get(token)
        peer = self._membership.peers.get(sender)
        if probe is None or peer is None or probe.peer != sender:
            return
        del self._probes[token]
        self._probed.pop(sender, None)
        subject = token.to_bytes(8, "big")
        direct_is_pending = self._core.is_scheduled(DIRECT, subject)
        self._core.cancel(DIRECT, subject)
        self._core.cancel(END, subject)
        peer.acked_at = self._core.now
        peer.missed = False
        peer.reset_at = -math.inf
        if source is not None:
            peer.proven = source
            peer.measured(self._core.now - probe.started)
        if probe.regular:
            self._judge_self(-1)
            self._membership.judge_link(direct=source is not None and direct_is_pending)

    def stream_result(self, to: NodeId, token: int, ok: bool, refused: bool) -> None:
        """The TCP probe's outcome. A refused port ends the question: the process is gone."""
        probe = self._probes.get(token)
        if probe is None or probe.peer != to:
            return
        if ok:
            self.acked(to, None, token)
        elif refused:
            probe.refused = True
            self.ended(token.to_bytes(8, "big"))

    def nacked(self, sender: NodeId, token: int) -> None:
        probe = self._probes.get(token)
        if probe is not None and sender in probe.relays:
            probe.nacks.add(sender)

    # --- probing in another's stead

    def requested(self, sender: NodeId, source: Endpoint, request: PingRequest) -> None:
        """Ping the target with the asker's token; its Ack, signed by itself, is handed on as it is."""
        target = self._membership.peers.get(request.target)
        if request.target == self._core.id or target is None or len(self._relayed) >= _MAX_RELAYED:
            return
        self._relayed[request.token] = _Relay(sender, source, request.target)
        for endpoint in dict.fromkeys((target.endpoint or request.endpoint, request.endpoint)):
            self._ping(target, endpoint, request.token)
        settings = self._core.settings
        wait = 0.7 * (settings.probe_timeout - settings.direct_timeout)
        self._core.schedule(RELAY, request.token.to_bytes(8, "big"), self._core.now + wait)

    def relay(self, sender: NodeId, ack: Ack, datagram: bytes) -> bool:
        """Hand an Ack on to whoever asked for it; False when nobody did."""
        relay = self._relayed.get(ack.token)
        if relay is None or relay.target != sender:
            return False
        del self._relayed[ack.token]
        self._core.cancel(RELAY, ack.token.to_bytes(8, "big"))
        self._core.send(relay.asker, relay.endpoint, Relayed(ack.token, datagram))
        return True

    def relay_is_late(self, subject: bytes) -> None:
        """The target does not answer here either: say at least that this node does."""
        relay = self._relayed.pop(int.from_bytes(subject, "big"), None)
        if relay is not None:
            self._core.send(relay.asker, relay.endpoint, Nack(int.from_bytes(subject, "big")))

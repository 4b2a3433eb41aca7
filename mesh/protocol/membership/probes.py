"""Probes of members (SWIM): round robin, out of turn, repeated, through relays, by TCP.

A probe pings again and again until its time is over. That costs nothing where nothing is lost. Where a fifth
of all datagrams is, of seven tries (each there and back: 0.64) all fail only once in 1300.

The local health multiplier (Lifeguard) stretches periods and time limits while this node's own probes fail in
a way that speaks against itself: the relays do not answer either. But the relays may as well be dead. So
after a death a node probes all others once at the plain pace, though with stretched time limits.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import ProbeStream
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.older_sets import OlderSets
from mesh.protocol.membership.peers import MemberState, Peer
from mesh.protocol.trust.roster import Roster
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import open_envelope
from mesh.wire.identity import NodeId
from mesh.wire.messages import MAX_DATAGRAM, Ack, Nack, Ping, PingRequest, Relayed

PERIOD, AGAIN, RELAY = "probe", "probe-again", "probe-relay"
MAX_TRIES = 16
_CROWD = 16
"""With more probes under way, half a pool may be gone: then each asks its relays but once."""
_SOON = 1e-3
"""Seconds: an action that is due within this happens at once."""
_LATE = 1.5
"""Seconds after the end of a probe in which an answer still counts."""
MAX_TRIPS = 9
_MAX_OWN_PATIENCE = 1.0
MAX_RELAYED = 256
_MAX_RELAYED_FOR_ONE = 64
_MAX_ENDPOINTS = 4
_ASK_DEAD = 4.0
"""About how many pings a period each dead member gets from the whole pool, in a pool of many."""


@dataclass(slots=True)
class Probe:
    """One probe of several tries: the token that a try sends is ``token`` plus the number of the try."""

    peer: NodeId
    token: int
    started: float
    late_at: float
    """When it asks relays, ..."""
    ends: float
    """... and when it fails."""
    retry: float
    sent: list[float] = field(default_factory=list)
    """When each try left."""
    relays: list[Peer] = field(default_factory=list)
    nacks: set[NodeId] = field(default_factory=set)
    regular: bool = True
    final: bool = False
    """A final probe: its failure is nothing new, so it raises no suspicion."""
    refused: bool = False
    helped: bool = False
    over_at: float = 0.0
    answered: bool = False
    direct: bool = False
    """Whether the member answered the first ping."""

    @property
    def subject(self) -> bytes:
        return self.token.to_bytes(8, "big")


@dataclass(slots=True)
class _Relay:
    """An indirect probe that this node makes for another member."""

    asker: NodeId
    endpoint: Endpoint
    target: NodeId
    nacked: bool = False


class Prober:
    """The probes that one node makes, for itself and as a relay."""

    def __init__(
        self, context: Context, roster: Roster, membership: Membership, older_sets: OlderSets
    ) -> None:
        self._context = context
        self._roster = roster
        self._older_sets = older_sets
        self._membership = membership
        self._probes: dict[int, Probe] = {}
        self._past: dict[int, Probe] = {}
        """Probes that ended a short while ago, the first to end first."""
        self._trips: deque[float] = deque(maxlen=MAX_TRIPS)
        self._probed: dict[NodeId, int] = {}
        self._relayed: dict[int, _Relay] = {}
        self._next = 0
        self._asked_dead = 0.0
        self._dead_turns: list[tuple[NodeId, Endpoint]] = []
        """Addresses of dead members yet to be pinged in this round, each once, the last one next."""
        self._dead = 0
        """How many members were dead at the last turn."""
        self._unstretched = 0
        """How many more turns come at the plain pace."""

    @property
    def _stretch(self) -> int:
        return 1 + self._membership.local_health if self._membership.flap_detector.stable else 1

    def start(self) -> None:
        """Begin the round robin, at a random phase."""
        period = self._context.settings.probe_period
        self._context.schedule(PERIOD, b"", self._context.now + period * self._context.random.random())

    def tick(self) -> None:
        """One period: probe the next member in turn, and now and then ping a dead one, in case it is back."""
        period = self._context.settings.probe_period
        self._context.schedule(PERIOD, b"", self._context.now + period * self._pace())
        self._judge_past()
        peer = self._next_in_turn()
        if peer is None or self._membership.reaches_nobody():
            self._membership.judge_alone()
        if peer is not None and peer.endpoint is None:
            self._membership.suspect(peer)  # it cannot be probed: if it lives it has to refute
        elif peer is not None:
            self.probe(peer, regular=True)
        self._ask_dead()

    def _pace(self) -> float:
        """Periods until the next turn. Members seldom die alone, so a death ends the stretch for a round."""
        before, self._dead = self._dead, len(self._membership.dead)
        if self._dead > before:
            self._unstretched = len(self._membership.order)
        elif self._unstretched:
            self._unstretched -= 1
        if self._membership.flap_detector.degraded:
            return 0.5
        return 1.0 if self._unstretched else self._stretch

    def _next_in_turn(self) -> Peer | None:
        order = self._membership.order
        for _ in range(len(order)):
            if self._next >= len(order):
                self._next = 0
                self._context.random.shuffle(order)
            peer = self._membership.peers[order[self._next]]
            self._next += 1
            if peer.present:
                return peer
        return None

    def _ask_dead(self) -> None:
        """Ping as many dead members as are due by now: slow turns are to spare the living alone."""
        dead, settings = self._membership.dead, self._context.settings
        due = min(self._stretch, int((self._context.now - self._asked_dead) / settings.dead_period))
        if not dead or not due:
            return
        self._asked_dead = self._context.now
        live = self._membership.live_count()
        for _ in range(due):
            if self._context.random.random() * live >= _ASK_DEAD * len(dead):
                continue
            turn = self._next_dead()
            if turn is not None:
                peer, endpoint = turn
                self._inform(peer, endpoint)
                self._ping(peer, endpoint, 0)

    def _next_dead(self) -> tuple[Peer, Endpoint] | None:
        """The next address of a dead member, each once a round in random order: chance starves none.

        A member that dies meanwhile comes with the next round.
        """
        dead = self._membership.dead
        for _ in range(2):
            while self._dead_turns:
                id, endpoint = self._dead_turns.pop()
                if id in dead and endpoint in dead[id].endpoints():
                    return dead[id], endpoint
            self._dead_turns = [(id, endpoint) for id, peer in dead.items() for endpoint in peer.endpoints()]
            self._context.random.shuffle(self._dead_turns)
        return None

    def probe(self, peer: Peer, regular: bool = False, hurry: bool = False, final: bool = False) -> None:
        """Probe a member now, unless a probe is under way; with ``hurry`` by TCP at the same time."""
        endpoint = peer.endpoint
        if endpoint is None:
            return
        if peer.id in self._probed:
            if hurry:
                self._context.effects.append(ProbeStream(peer.id, endpoint, self._probed[peer.id]))
            return
        token = (self._context.random.getrandbits(44) + 1) * MAX_TRIES
        settings, now, stretch = self._context.settings, self._context.now, self._stretch
        patience = max(peer.patience, self._own_patience())
        retry = min(max(settings.retry, patience), 3.0 * settings.retry) * stretch
        late_at = now + max(settings.direct_timeout, patience) * stretch
        ends = late_at + (settings.probe_timeout - settings.direct_timeout) * stretch
        probe = Probe(peer.id, token, now, late_at, ends, retry, regular=regular, final=final)
        self._probes[token] = probe
        self._probed[peer.id] = token
        if hurry:
            self._context.effects.append(ProbeStream(peer.id, endpoint, token))
        self._try(probe, peer)

    def probe_suspect(self, suspect: NodeId, hurry: bool) -> None:
        """Volunteer: probe a member that another suspects; with ``hurry`` by TCP at the same time."""
        self.probe(self._membership.peers[suspect], hurry=hurry)

    def probe_finally(self, suspect: NodeId) -> None:
        """The suspicion is about to end: probe in every way, though a failure is nothing new."""
        self.probe(self._membership.peers[suspect], final=True, hurry=True)

    def _own_patience(self) -> float:
        """Twice the median of the last round trips to all, in seconds: if most are slow, this link is."""
        if len(self._trips) < MAX_TRIPS:
            return 0.0
        return min(_MAX_OWN_PATIENCE, 2.0 * sorted(self._trips)[MAX_TRIPS // 2])

    def _try(self, probe: Probe, peer: Peer) -> None:
        now, number = self._context.now, len(probe.sent)
        if peer.endpoint is not None and number < MAX_TRIES:
            if number % 3 == 0:
                self._inform(peer, peer.endpoint)
            self._ping(peer, peer.endpoint, probe.token + number)
            probe.sent.append(now)
        again = now + probe.retry
        if not probe.helped:
            again = min(again, probe.late_at)
        self._context.schedule(AGAIN, probe.subject, max(now + _SOON, min(again, probe.ends)))

    def _inform(self, peer: Peer, endpoint: Endpoint) -> None:
        """Inform a suspect before it answers: then its answer shows the raised liveness."""
        if peer.state in (MemberState.SUSPECT, MemberState.DEAD):
            self._membership.inform(peer, endpoint)

    def _ping(self, peer: Peer, endpoint: Endpoint, token: int) -> None:
        mine = self._membership
        ping = Ping(token, self._older_sets.summary_for(peer.id), mine.generation, mine.incarnation)
        self._context.send(peer.id, endpoint, ping)

    def again(self, subject: bytes) -> None:
        """No answer yet: ping again, later through relays as well, or end the probe."""
        probe = self._probes.get(int.from_bytes(subject, "big"))
        peer = self._membership.peers.get(probe.peer) if probe else None
        if probe is None or peer is None:
            return
        if self._context.now + _SOON >= probe.ends:
            self._ended(probe)
            return
        if self._context.now + _SOON >= probe.late_at:
            self._ask_relays(probe, peer)
        self._try(probe, peer)

    def _ask_relays(self, probe: Probe, peer: Peer) -> None:
        """No direct answer: try the peer's other addresses, TCP (once), and relays."""
        if peer.endpoint is None or (probe.helped and len(self._probes) > _CROWD):
            return
        for endpoint in peer.endpoints()[:_MAX_ENDPOINTS]:
            if endpoint != peer.endpoint:
                self._ping(peer, endpoint, probe.token + min(len(probe.sent), MAX_TRIES - 1))
        if not probe.helped:
            probe.helped = True
            peer.doubted_at = self._context.now
            self._context.effects.append(ProbeStream(peer.id, peer.endpoint, probe.token))
            # A final probe tries harder, for its failure lets the peer die.
            relays = self._context.settings.relays * (2 if probe.final else 1)
            probe.relays = self._membership.pick(relays, but=peer.id)
        for relay in probe.relays:
            if relay.endpoint is not None:
                self._context.send(relay.id, relay.endpoint, PingRequest(probe.token, peer.id, peer.endpoint))

    def _ended(self, probe: Probe) -> None:
        """The probe is over without an answer: suspect the peer."""
        self._close(probe)
        peer = self._membership.peers.get(probe.peer)
        if {relay.id for relay in probe.relays} - probe.nacks and not probe.refused:
            self._judge_self(+1)
        if peer is None:
            return
        if probe.refused:
            self._membership.reset(peer)
        lived = max(peer.acked_at, peer.raised_at) > probe.started
        if probe.refused or not (probe.final or lived):
            self._membership.suspect(peer, probe.refused)

    def _close(self, probe: Probe) -> None:
        del self._probes[probe.token]
        self._probed.pop(probe.peer, None)
        self._context.cancel(AGAIN, probe.subject)
        probe.over_at = self._context.now
        self._past[probe.token] = probe

    def _judge_past(self) -> None:
        """Feed flap detection with the probes for which no answer counts any more."""
        while self._past:
            probe = self._past[next(iter(self._past))]
            if probe.over_at + _LATE > self._context.now:
                return
            del self._past[probe.token]
            if probe.regular and probe.answered:
                self._membership.judge_link(probe.direct)

    def under_way(self, id: NodeId) -> Probe | None:
        """The probe of a member that is not over yet, if any."""
        token = self._probed.get(id)
        return None if token is None else self._probes[token]

    def forget(self, id: NodeId) -> None:
        """The member is gone: drop its probe."""
        token = self._probed.pop(id, None)
        if token is not None:
            del self._probes[token]
            self._context.cancel(AGAIN, token.to_bytes(8, "big"))

    def stop(self) -> None:
        """Probe no member any more."""
        self._context.cancel(PERIOD, b"")
        self.abandon()

    def abandon(self) -> None:
        """This process was paused: drop all probes under way, for their outcome proves nothing."""
        for token in list(self._probes):
            self._context.cancel(AGAIN, token.to_bytes(8, "big"))
        self._probes.clear()
        self._past.clear()
        self._probed.clear()
        self._relayed.clear()

    def _judge_self(self, change: int) -> None:
        mine = self._membership
        mine.local_health = min(self._context.settings.max_local_health, max(0, mine.local_health + change))

    # --- answers

    def acked(self, sender: NodeId, source: Endpoint | None, token: int) -> None:
        """A member answered; ``source`` is None when the answer came through a relay or by TCP."""
        number = token % MAX_TRIES
        open_, past = self._probes.get(token - number), self._past.get(token - number)
        probe, peer = open_ or past, self._membership.peers.get(sender)
        if probe is None or peer is None or probe.peer != sender:
            return
        peer.acked_at = self._context.now
        peer.missed = False
        peer.reset_at = -math.inf
        if source is not None and number < len(probe.sent):
            trip = self._context.now - probe.sent[number]
            peer.answered_at = self._context.now
            if peer.proven not in (None, source):
                peer.doubted_at = self._context.now
            peer.proven = source
            peer.measured(trip, late=open_ is None and not probe.answered)
            probe.direct |= number == 0
            if not probe.answered:
                self._trips.append(trip)
        probe.answered = True
        if open_ is not None:
            self._close(open_)
            if probe.regular:
                self._judge_self(-1)

    def stream_result(self, to: NodeId, token: int, ok: bool, refused: bool) -> None:
        """The outcome of a TCP probe. A refused port ends the probe: the process is gone."""
        probe = self._probes.get(token)
        if probe is None or probe.peer != to:
            return
        if ok:
            self.acked(to, None, token)
        elif refused:
            probe.refused = True
            self._ended(probe)

    def nacked(self, sender: NodeId, token: int) -> None:
        probe = self._probes.get(token)
        if probe is not None:
            probe.nacks.add(sender)

    # --- relaying

    def requested(self, sender: NodeId, source: Endpoint, request: PingRequest) -> None:
        """Ping the target with the asker's token; :meth:`relay` passes on its Ack, which it signed itself."""
        target = self._membership.peers.get(request.target)
        if request.target == self._context.id or target is None:
            return
        known = self._relayed.get(request.token)
        if known is None or (known.asker, known.target) != (sender, request.target):
            of_asker = sum(relay.asker == sender for relay in self._relayed.values())
            if len(self._relayed) >= MAX_RELAYED or of_asker >= _MAX_RELAYED_FOR_ONE:
                return
            self._relayed[request.token] = _Relay(sender, source, request.target)
            settings = self._context.settings
            wait = 0.7 * (settings.probe_timeout - settings.direct_timeout)
            self._context.schedule(RELAY, request.token.to_bytes(8, "big"), self._context.now + wait)
            self._inform(target, target.endpoint or request.endpoint)
        for endpoint in dict.fromkeys((target.endpoint or request.endpoint, request.endpoint)):
            self._ping(target, endpoint, request.token)

    def relay(self, sender: NodeId, ack: Ack, datagram: bytes) -> bool:
        """Pass an Ack on to the member that asked for it; False when none did."""
        relay = self._relayed.get(ack.token)
        if relay is None or relay.target != sender:
            return False
        del self._relayed[ack.token]
        self._context.cancel(RELAY, ack.token.to_bytes(8, "big"))
        self._context.send(relay.asker, relay.endpoint, Relayed(ack.token, datagram))
        return True

    def relayed(self, relay: NodeId, relayed: Relayed) -> None:
        """A relay passes on an Ack: its author's own signature, addressed to the relay, proves it."""
        envelope = open_envelope(relayed.datagram, MAX_DATAGRAM)
        ack = messages.decode(envelope.body, MAX_DATAGRAM)
        key = self._roster.key(envelope.sender)
        if key is None or envelope.pool != self._context.pool or not isinstance(ack, Ack):
            return
        if ack.token == relayed.token and envelope.proven_by(key, self._context.verifier, relay):
            self.acked(envelope.sender, None, ack.token)

    def relay_is_late(self, subject: bytes) -> None:
        """The target does not answer here either: send a Nack (Lifeguard), and wait a while longer."""
        token = int.from_bytes(subject, "big")
        relay = self._relayed.pop(token, None)
        if relay is not None and not relay.nacked:
            relay.nacked = True
            self._relayed[token] = relay
            self._context.schedule(RELAY, subject, self._context.now + _LATE)
            self._context.send(relay.asker, relay.endpoint, Nack(token))

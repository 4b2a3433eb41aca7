"""From a datagram to the part that it concerns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mesh.protocol.membership.peers import DEAD, SUSPECT
from mesh.protocol.node.wiring import Parts
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, first_number, open_envelope
from mesh.wire.facts import Liveness, Record, place_key
from mesh.wire.identity import NodeId
from mesh.wire.messages import MAX_DATAGRAM, Message
from mesh.wire.rights import Rights

_FOR_ANYBODY = frozenset({messages.Hello, messages.Bodies})
"""What may be sent to an address of which it is not known who lives there."""


class Router:
    """Proves who sent a datagram and hands its message on."""

    def __init__(self, parts: Parts, is_running: Callable[[], bool]) -> None:
        self._parts = parts
        self._is_running = is_running
        self._shown: dict[NodeId, float] = {}
        self._receivers: dict[type, Callable[[NodeId, Endpoint, Any, bytes], None]] = {
            messages.Ping: self._on_ping,
            messages.Ack: self._on_ack,
            messages.PingRequest: lambda f, at, m, _: self._parts.prober.requested(f, at, m),
            messages.Relayed: lambda f, at, m, _: self._on_relayed(f, m),
            messages.Nack: lambda f, at, m, _: self._parts.prober.nacked(f, m.token),
            messages.Hello: self._on_hello,
            messages.Rumours: lambda f, at, m, _: self._parts.gossip.heard(f, at, m.rumours),
            messages.Pull: lambda f, at, m, _: self._parts.gossip.pulled(f, at, m.keys),
            messages.Bodies: self._on_bodies,
            messages.Buckets: lambda f, at, m, _: self._parts.gossip.bucketed(f, at, m.hashes),
            messages.Contents: lambda f, at, m, _: self._parts.gossip.contents(f, at, m.buckets, m.rumours),
            messages.VoteRequest: lambda f, at, m, _: self._parts.election.asked(f, at, m.term),
            messages.Vote: lambda f, at, m, _: self._parts.election.voted(f, m),
            messages.LeaseRequest: self._on_lease_request,
            messages.LeaseGrant: lambda f, at, m, _: self._parts.leader_leases.granted(f, m),
            messages.LeaseRefusal: lambda f, at, m, _: self._parts.leader_leases.refused(m),
            messages.LeaseRelease: self._on_lease_release,
        }

    def is_new(self, envelope: Envelope, source: Endpoint) -> bool:
        """Whether the datagram was not seen before and is of its sender's present run.

        A sender whose disk was set back counts from too low: it is shown its own newer record, once a second,
        or that of another run which went by the same generation; and its liveness, which may be all that is
        known of it.
        """
        sender, context = envelope.sender, self._parts.context
        peer = self._parts.membership.peers.get(sender)
        outdated = peer is not None and envelope.number < first_number(peer.generation)
        if not outdated and self._parts.replays.is_new(envelope):
            return True
        store = self._parts.store
        held = [fact for fact in (store.get(Record, sender), store.get(Liveness, sender)) if fact is not None]
        if held and context.now - self._shown.get(sender, -math.inf) >= 1.0:
            self._shown[sender] = context.now
            proofs = store.proofs.get(place_key(Record.kind, sender), ())
            context.send_bodies(sender, source, [*proofs, *(fact.data for fact in held)])
        return False

    def deliver(self, envelope: Envelope, source: Endpoint, message: Message) -> None:
        """Let the message act once its sender is known and proven; a stranger may show its vouchers."""
        parts, sender = self._parts, envelope.sender
        members = parts.roster.members
        if sender not in members:
            parts.bootstrap.unknown(sender, source, message)
        vouched = members.get(sender)
        if vouched is None:
            parts.context.drops.count("stranger", source)
            return
        if not (envelope.addressed or type(message) in _FOR_ANYBODY) or not envelope.proven_by(
            vouched.key, parts.context.verifier, parts.context.id
        ):
            parts.context.drops.count("forged", source)
            return
        peer = parts.membership.peers.get(sender)
        parts.replays.mark(envelope, 0 if peer is None else peer.generation)
        parts.rate_limits.proven(parts.context.now, source)
        parts.membership.heard(sender, source)
        parts.bootstrap.answered(sender, source)
        self._receivers[type(message)](sender, source, message, envelope.data)

    def _on_ping(self, sender: NodeId, source: Endpoint, ping: messages.Ping, _: bytes) -> None:
        mine = self._parts.membership
        if not (self._is_running() or self._parts.reports.left):
            return
        self._inform(sender, source)
        ack = messages.Ack(ping.token, self._parts.store.summary, mine.generation, mine.incarnation)
        self._parts.context.send(sender, source, ack)
        self._hinted(sender, source, (ping.generation, ping.incarnation))
        self._parts.gossip.compare(sender, source, ping.summary)

    def _on_ack(self, sender: NodeId, source: Endpoint, ack: messages.Ack, data: bytes) -> None:
        if self._parts.prober.relay(sender, ack, data):
            return
        self._parts.prober.acked(sender, source, ack.token)
        self._inform(sender, source)
        self._hinted(sender, source, (ack.generation, ack.incarnation))
        self._parts.gossip.compare(sender, source, ack.summary)

    def _inform(self, sender: NodeId, source: Endpoint) -> None:
        """Who is suspected or held dead, and yet speaks, learns of what it is accused."""
        peer = self._parts.membership.peers.get(sender)
        if peer is not None and peer.state in (DEAD, SUSPECT):
            self._parts.membership.inform(peer, source)

    def _hinted(self, sender: NodeId, source: Endpoint, liveness: tuple[int, int]) -> None:
        """A datagram names its sender's liveness; it counts as soon as the fact that proves it is here."""
        peer = self._parts.membership.peers.get(sender)
        if peer is None or liveness > peer.liveness:
            self._parts.gossip.ask(
                sender, source, [place_key(kind.kind, sender) for kind in (Liveness, Record)]
            )

    def _on_relayed(self, helper: NodeId, relayed: messages.Relayed) -> None:
        """An Ack to another that asked for this node: proven by its author's own signature."""
        envelope = open_envelope(relayed.datagram, MAX_DATAGRAM)
        ack = messages.decode(envelope.body, MAX_DATAGRAM)
        key = self._parts.roster.key(envelope.sender)
        if key is None or envelope.pool != self._parts.context.pool or not isinstance(ack, messages.Ack):
            return
        if ack.token == relayed.token and envelope.proven_by(key, self._parts.context.verifier, helper):
            self._parts.prober.acked(envelope.sender, None, ack.token)

    def _on_hello(self, sender: NodeId, source: Endpoint, hello: messages.Hello, _: bytes) -> None:
        self._parts.validator.absorb_all(hello.chain, sender)
        if hello.answer:
            self._parts.bootstrap.send_hello(sender, source, answer=False)
        self._parts.gossip.compare(sender, source, hello.summary, eager=True)

    def _on_bodies(self, sender: NodeId, source: Endpoint, bodies: messages.Bodies, _: bytes) -> None:
        """Facts came; who told this node of an accusation against it gets the refutation straight away."""
        self._bodies(sender, source, bodies)
        if self._parts.validator.take_suspicions():
            proof = self._parts.store.get(Liveness, self._parts.context.id)
            if proof is not None:
                self._parts.context.send_bodies(sender, source, [proof.data])

    def _bodies(self, sender: NodeId, source: Endpoint, bodies: messages.Bodies) -> None:
        """Facts came: each proves itself, whoever brought it, which costs as much as a datagram does."""
        parts = self._parts
        if not parts.rate_limits.allow(parts.context.now, source, len(bodies.facts)):
            parts.context.drops.count("flood", source)
            return
        parts.validator.absorb_all(bodies.facts, sender)
        parts.gossip.received()

    def streamed(self, sender: NodeId, source: Endpoint, message: Message) -> None:
        """What may be too large for a datagram: facts, and all that is in a well-filled bucket."""
        if isinstance(message, messages.Bodies):
            self._bodies(sender, source, message)
        elif isinstance(message, messages.Contents):
            self._parts.gossip.contents(sender, source, message.buckets, message.rumours)

    def _on_lease_request(
        self, sender: NodeId, source: Endpoint, request: messages.LeaseRequest, _: bytes
    ) -> None:
        me = self._parts.context.id
        if self._is_running() and request.worker == me and Rights.WORK in self._parts.roster.rights(me):
            answer = self._parts.worker_lease.request(sender, request)
            if answer is not None:
                self._parts.context.send(sender, source, answer)

    def _on_lease_release(
        self, sender: NodeId, source: Endpoint, release: messages.LeaseRelease, _: bytes
    ) -> None:
        if release.worker == self._parts.context.id:
            self._parts.worker_lease.released(sender, release.number, release.term)

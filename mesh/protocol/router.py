"""From a datagram to the part that it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.protocol.parts import Parts
from mesh.protocol.peers import DEAD, SUSPECT
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, open_envelope
from mesh.wire.identity import NodeId
from mesh.wire.messages import MAX_DATAGRAM, Message
from mesh.wire.rights import Rights


class Router:
    """Proves who sent a datagram and hands its message on."""

    def __init__(self, parts: Parts, is_running: Callable[[], bool]) -> None:
        self._parts = parts
        self._is_running = is_running
        self._receivers: dict[type, Callable[[NodeId, Endpoint, Any, bytes], None]] = {
            messages.Ping: self._on_ping,
            messages.Ack: self._on_ack,
            messages.PingRequest: lambda f, at, m, _: self._parts.prober.requested(f, at, m),
            messages.Relayed: lambda f, at, m, _: self._on_relayed(m),
            messages.Nack: lambda f, at, m, _: self._parts.prober.nacked(f, m.token),
            messages.Hello: self._on_hello,
            messages.Rumours: lambda f, at, m, _: self._parts.gossip.heard(f, at, m.rumours),
            messages.Pull: lambda f, at, m, _: self._parts.gossip.pulled(f, at, m.keys),
            messages.Bodies: lambda f, at, m, _: self.bodies(m),
            messages.Buckets: lambda f, at, m, _: self._parts.gossip.bucketed(f, at, m.hashes),
            messages.Contents: lambda f, at, m, _: self._parts.gossip.contents(f, at, m.buckets, m.rumours),
            messages.VoteRequest: lambda f, at, m, _: self._parts.election.asked(f, at, m.term),
            messages.Vote: lambda f, at, m, _: self._parts.election.voted(f, m),
            messages.LeaseRequest: self._on_lease_request,
            messages.LeaseGrant: lambda f, at, m, _: self._parts.tenancies.granted(f, m),
            messages.LeaseRefusal: lambda f, at, m, _: self._parts.tenancies.refused(m),
            messages.LeaseRelease: lambda f, at, m, _: self._parts.arbiter.released(f, m.number, m.term),
        }

    def deliver(self, envelope: Envelope, source: Endpoint, message: Message) -> None:
        """Let the message act once its sender is known and proven; a stranger may show its vouchers."""
        sender = envelope.sender
        members = self._parts.roster.members
        if sender not in members:
            self._parts.introductions.unknown(sender, source, message)
        vouched = members.get(sender)
        if vouched is None or not envelope.proven_by(vouched.key, self._parts.core.verifier):
            return
        self._parts.membership.heard(sender, source)
        self._parts.introductions.answered(source)
        self._receivers[type(message)](sender, source, message, envelope.data)

    def _on_ping(self, sender: NodeId, source: Endpoint, ping: messages.Ping, _: bytes) -> None:
        mine = self._parts.membership
        peer = mine.lives(sender, ping.incarnation, ping.refutations)
        if peer is None or not (self._is_running() or self._parts.reports.left):
            return
        peer.source = source
        ack = messages.Ack(ping.token, self._parts.store.summary, mine.incarnation, mine.refutations)
        self._parts.core.send(sender, source, ack)
        if peer.state in (DEAD, SUSPECT):
            mine.inform(peer, source)
        self._parts.gossip.compare(sender, source, ping.summary)

    def _on_ack(self, sender: NodeId, source: Endpoint, ack: messages.Ack, data: bytes) -> None:
        peer = self._parts.membership.lives(sender, ack.incarnation, ack.refutations)
        if peer is None or self._parts.prober.relay(sender, ack, data):
            return
        self._parts.prober.acked(sender, source, ack.token)
        if peer.state in (DEAD, SUSPECT):
            self._parts.membership.inform(peer, source)
        self._parts.gossip.compare(sender, source, ack.summary)

    def _on_relayed(self, relayed: messages.Relayed) -> None:
        """An Ack that came through another: proven by its author's own signature on the datagram."""
        envelope = open_envelope(relayed.datagram, MAX_DATAGRAM)
        ack = messages.decode(envelope.body, MAX_DATAGRAM)
        key = self._parts.roster.key(envelope.sender)
        if key is None or envelope.pool != self._parts.core.pool or not isinstance(ack, messages.Ack):
            return
        if ack.token == relayed.token and envelope.proven_by(key, self._parts.core.verifier):
            self._parts.membership.lives(envelope.sender, ack.incarnation, ack.refutations)
            self._parts.prober.acked(envelope.sender, None, ack.token)

    def _on_hello(self, sender: NodeId, source: Endpoint, hello: messages.Hello, _: bytes) -> None:
        self._parts.intake.absorb_all(hello.chain)
        if hello.answer:
            self._parts.introductions.introduce(sender, source, answer=False)
        self._parts.gossip.compare(sender, source, hello.summary, eager=True)

    def bodies(self, bodies: messages.Bodies) -> None:
        """Facts came: each proves itself, whoever brought it."""
        self._parts.intake.absorb_all(bodies.facts)
        self._parts.gossip.received()

    def _on_lease_request(
        self, sender: NodeId, source: Endpoint, request: messages.LeaseRequest, _: bytes
    ) -> None:
        if self._is_running() and Rights.WORK in self._parts.roster.rights(self._parts.core.id):
            answer = self._parts.arbiter.request(sender, request)
            if answer is not None:
                self._parts.core.send(sender, source, answer)

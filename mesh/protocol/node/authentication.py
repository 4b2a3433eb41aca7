"""Which datagrams a Node decodes, and the proof of their senders."""

from __future__ import annotations

import math
from typing import Literal

from mesh.protocol.base.context import NO_POOL
from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.membership.peers import Peer
from mesh.protocol.node.wiring import Parts
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, run_of
from mesh.wire.facts import Liveness, Record
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies, Hello, Message
from mesh.wire.signed_facts import place_key
from mesh.wire.versions import Versions

_FOR_ANYBODY = frozenset({Hello, Bodies})
"""Messages that need no addressee, for their sender may not know which node lives at the address."""
_SHOW_AGAIN = 1.0
"""Seconds until a sender of a past generation gets its newer facts once more."""


class Authentication:
    """The checks that every datagram passes, the cheapest first."""

    def __init__(self, parts: Parts) -> None:
        self._context = parts.context
        self._roster = parts.roster
        self._store = parts.store
        self._replays = parts.replays
        self._rate_limits = parts.rate_limits
        self._membership = parts.membership
        self._bootstrap = parts.bootstrap
        self._expulsion = parts.expulsion
        self._shown: dict[NodeId, float] = {}
        self.heard_speaking: dict[NodeId, tuple[Versions, Endpoint]] = {}
        """What members speak, and where, whose last datagram was of a version that this node does not."""

    def refusal(self, envelope: Envelope, source: Endpoint) -> DropReason | Literal[""] | None:
        """Why to drop a datagram before decoding it: None to keep it, empty to drop it without a count."""
        if envelope.pool != self._context.pool or self._context.pool == NO_POOL:
            return DropReason.FOREIGN
        if envelope.sender == self._context.id or self._expulsion.expelled:
            return ""
        if not self._is_new(envelope, source):
            return DropReason.REPLAYED
        if not self._rate_limits.allow(self._context.now, source):
            return DropReason.FLOOD
        if not envelope.is_read_by(self._context.speaks):
            self._note_version(envelope, source)
            return DropReason.VERSION
        return None

    def _note_version(self, envelope: Envelope, source: Endpoint) -> None:
        """Note what the sender speaks, if it is a member and the datagram is its own."""
        sender = envelope.sender
        vouched = self._roster.members.get(sender)
        if vouched is None or not envelope.proven_by(vouched.key, self._context.verifier, self._context.id):
            return
        self._mark(envelope)
        heard = (envelope.speaks, source)
        if self.heard_speaking.get(sender) != heard:
            self.heard_speaking[sender] = heard
            self._context.members_changed = True

    def _is_new(self, envelope: Envelope, source: Endpoint) -> bool:
        """Whether the datagram is new and of its sender's present generation.

        After a state rollback a sender counts from too low. At most once a second this node sends it its own
        liveness and newer record, or that of another run of the same generation, as far as it holds them. The
        liveness comes first: a program of version 2 reads no further than a record in the newer form.
        """
        sender, store, now = envelope.sender, self._store, self._context.now
        if self._replays.is_new(envelope, store.generation(sender)):
            return True
        held = [fact.data for kind in (Liveness, Record) if (fact := store.get(kind, sender)) is not None]
        if held and now - self._shown.get(sender, -math.inf) >= _SHOW_AGAIN:
            self._shown[sender] = now
            proofs = store.proofs.get(place_key(Record.kind, sender), ())
            self._context.send_bodies(sender, source, [*held, *proofs])
        return False

    def proves(self, envelope: Envelope, source: Endpoint, message: Message) -> bool:
        """Whether a member sent the message; notes the member's address and number if so.

        A stranger's message may carry its vouchers, and makes it a member then.
        """
        sender, members = envelope.sender, self._roster.members
        if sender not in members:
            self._bootstrap.unknown(sender, source, message)
        vouched = members.get(sender)
        if vouched is None:
            self._context.drops.count(DropReason.STRANGER, source)
            return False
        if not (envelope.addressed or type(message) in _FOR_ANYBODY) or not envelope.proven_by(
            vouched.key, self._context.verifier, self._context.id
        ):
            self._context.drops.count(DropReason.FORGED, source)
            return False
        peer = self._mark(envelope)
        if self.heard_speaking.pop(sender, None) is not None:
            self._context.members_changed = True
        self._rate_limits.proven(self._context.now, source)
        if peer is not None and run_of(envelope.number) == peer.generation and not peer.is_understood:
            self._context.drops.count(DropReason.VERSION, source)
            return False
        self._membership.heard(sender, source)
        self._bootstrap.answered(sender, source)
        return True

    def _mark(self, envelope: Envelope) -> Peer | None:
        """Note the number of a proven datagram; returns its sender's peer."""
        self._replays.mark(envelope, self._store.generation(envelope.sender))
        return self._membership.peers.get(envelope.sender)

"""A candidate claims only when more say yes than no, counted from the votes that really reached it.

Its own vote is a yes, but a no while another holds its worker's lease. A tie is no majority.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from mesh.protocol.base.effects import Event, LeaderChanged
from mesh.wire import messages
from mesh.wire.envelope import open_envelope
from mesh.wire.errors import DecodeError
from mesh.wire.identity import NodeId
from simulations.checkers.handovers import is_named
from simulations.checkers.verdicts import Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "votes"
KIND_AT = 42
"""The byte of a datagram that holds the message's kind: after version, pool, sender and the array's head."""


@dataclass(slots=True)
class _Poll:
    """One candidacy: the process and its term, when it asked which members, and their answers."""

    run: int
    term: int
    asked_at: float
    asked: frozenset[NodeId]
    against: bool
    """Whether its own vote is a no, because another holds its worker's lease."""
    yes: set[NodeId] = field(default_factory=set)
    no: set[NodeId] = field(default_factory=set)


class Votes:
    """Reads vote requests as they are sent and votes as they arrive."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._polls: dict[NodeId, _Poll] = {}
        world.taps.append(self._sent)
        world.arrivals.append(self._arrived)
        world.observers.append(self._observe)

    def _sent(self, source: Host, target: Host, payload: bytes) -> None:
        if len(payload) > KIND_AT and payload[KIND_AT] == messages.VoteRequest.kind:
            message = messages.decode(open_envelope(payload).body)
            assert isinstance(message, messages.VoteRequest)
            poll, now, node = self._polls.get(source.id), self._world.now, source.node
            if node is None or (
                poll is not None and (poll.run, poll.term, poll.asked_at) == (source.run, message.term, now)
            ):
                return
            inside = node.inspect()
            asked, against = inside.voters(), inside.is_leased_to_another()
            self._polls[source.id] = _Poll(source.run, message.term, now, asked, against)

    def _arrived(self, host: Host, payload: bytes) -> None:
        if len(payload) <= KIND_AT or payload[KIND_AT] != messages.Vote.kind:
            return
        poll = self._polls.get(host.id)
        try:
            envelope = open_envelope(payload)
            message = messages.decode(envelope.body)
        except DecodeError:
            return
        key = self._world.keys.get(envelope.sender)
        if poll is None or key is None or not envelope.proven_by(key, self._world.verifier, host.id):
            return
        if (
            envelope.sender not in poll.asked
            or host.node is None
            or not host.node.inspect().accepts(envelope)
        ):
            return
        if isinstance(message, messages.Vote) and message.term == poll.term:
            (poll.yes if message.yes else poll.no).add(envelope.sender)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not isinstance(event, LeaderChanged) or event.claim is None or event.claim.author != host.id:
            return
        poll = self._polls.get(host.id)
        if poll is None or host.node is None or (poll.run, poll.term) != (host.run, event.claim.term):
            return
        if is_named(host.node, event.claim.term):
            return  # it was asking when the leader named it: that needs no votes
        if host.node.inspect().voters() != poll.asked:
            return  # it campaigned once more since, with no member to ask
        patience = self._world.settings.vote_timeout + 0.1
        disputed = any(map(world.is_disputed, (host.id, *poll.no, *poll.yes)))
        ayes, noes = len(poll.yes) + (not poll.against), len(poll.no) + poll.against
        if world.now - poll.asked_at < patience and noes >= ayes and not disputed:
            own = "no" if poll.against else "aye"
            self._say(
                f"host{host.number} claims term {event.claim.term} after "
                f"{len(poll.no)} noes and {len(poll.yes)} ayes, its own vote being {own}"
            )

"""The reactions of a Node's parts: a table each for messages, stored facts, timers and internal events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mesh.protocol.base import internal_events as events
from mesh.protocol.base.internal_events import InternalEvent
from mesh.protocol.dissemination import bootstrap, gossip, reaping
from mesh.protocol.leadership import election, leader_leases, reports, worker_lease
from mesh.protocol.membership import form_choice, membership, probes
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.persisted import ACTS, PersistedState
from mesh.protocol.node.wiring import Parts
from mesh.wire import facts, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import NodeId
from mesh.wire.messages import Message
from mesh.wire.signed_facts import place_key

T = TypeVar("T")
Receiver = Callable[[NodeId, Endpoint, Any], None]
"""Takes the sender of a message, the address that it came from, and the message."""


@dataclass(frozen=True, slots=True)
class TimerReaction:
    """The reaction to a kind of timer; ``react`` takes the timer's subject."""

    react: Callable[[bytes], None]
    leadership: bool
    """Whether the Node evaluates leader and leases anew, whatever the reaction changed."""
    void_when_late: bool
    """Whether the reaction is skipped when the timer fires so late that this process was paused."""


def _message(kind: type[T], receive: Callable[[NodeId, Endpoint, T], None]) -> tuple[type[Any], Receiver]:
    return kind, receive


def _fact(kind: type[T], react: Callable[[T], None]) -> tuple[type[Any], Callable[[Any], None]]:
    return kind, react


def _timer(
    kind: str, react: Callable[[bytes], None], leadership: bool = False, void_when_late: bool = False
) -> tuple[str, TimerReaction]:
    return kind, TimerReaction(react, leadership, void_when_late)


def _event(
    kind: type[T], *reactions: Callable[[T], None]
) -> tuple[type[Any], tuple[Callable[[Any], None], ...]]:
    return kind, reactions


class Dispatch:
    """The four tables of one Node, and the reactions in which several parts share."""

    def __init__(self, parts: Parts, memory: PersistedState) -> None:
        self._context = parts.context
        self._keep_words = memory.keep_words
        self._owner = parts.owner
        self._membership = parts.membership
        self._prober = parts.prober
        self._gossip = parts.gossip
        self._older_sets = parts.older_sets
        self._reports = parts.reports
        self.messages = self._message_table(parts)
        self.facts = self._fact_table(parts, memory)
        self.timers = self._timer_table(parts, memory)
        self.events = self._event_table(parts)

    # --- the tables

    def _message_table(self, parts: Parts) -> dict[type[Any], Receiver]:
        """The part that receives each type of message; the sender is a proven member."""
        return dict([
            _message(messages.Ping, self._pinged),
            _message(messages.Ack, self._acked),
            _message(messages.PingRequest, parts.prober.requested),
            _message(messages.Relayed, lambda sender, _, m: parts.prober.relayed(sender, m)),
            _message(messages.Nack, lambda sender, _, m: parts.prober.nacked(sender, m.token)),
            _message(messages.Hello, parts.bootstrap.hello_received),
            _message(messages.Rumours, lambda sender, at, m: parts.gossip.heard(sender, at, m.rumours)),
            _message(messages.Pull, parts.gossip.pulled),
            _message(messages.Bodies, self._facts_came),
            _message(messages.Buckets, parts.gossip.bucketed),
            _message(messages.Contents, parts.gossip.contents),
            _message(messages.VoteRequest, parts.election.asked),
            _message(messages.Vote, lambda sender, _, m: parts.election.voted(sender, m)),
            _message(messages.LeaseRequest, parts.worker_lease.requested),
            _message(messages.LeaseGrant, lambda sender, _, m: parts.leader_leases.granted(sender, m)),
            _message(messages.LeaseRefusal, lambda _, __, m: parts.leader_leases.refused(m)),
            _message(messages.LeaseRelease, lambda sender, _, m: parts.worker_lease.released(sender, m)),
        ])  # fmt: skip

    def _fact_table(self, parts: Parts, memory: PersistedState) -> dict[type[Any], Callable[[Any], None]]:
        """The reaction to each kind of fact that changed the store, before gossip spreads it."""
        return dict([
            _fact(facts.Voucher, lambda _: memory.act_stored()),
            _fact(facts.Eviction, lambda _: memory.act_stored()),
            _fact(facts.Record, parts.membership.recorded),
            _fact(facts.Liveness, parts.membership.liveness_stored),
            _fact(facts.Suspicion, parts.membership.suspected),
            _fact(facts.Claim, parts.election.claimed),
            _fact(facts.Resignation, parts.election.resigned),
            _fact(facts.Deployment, parts.owner.deployed),
            _fact(facts.PoolState, parts.reports.stated),
            _fact(facts.PoolEngine, parts.owner.engine_chosen),
            _fact(facts.LaterFact, lambda _: None),
        ])  # fmt: skip

    def _timer_table(self, parts: Parts, memory: PersistedState) -> dict[str, TimerReaction]:
        """The reaction to each kind of timer."""
        return dict([
            _timer(probes.PERIOD, lambda _: parts.prober.tick()),
            _timer(probes.AGAIN, parts.prober.again),
            _timer(probes.RELAY, parts.prober.relay_is_late),
            _timer(
                membership.SUSPICION,
                lambda id: parts.membership.suspicion_ends(NodeId(id)),
                void_when_late=True,
            ),
            _timer(gossip.ROUND, lambda _: parts.gossip.round()),
            _timer(gossip.RETRY, lambda _: parts.gossip.retry()),
            _timer(bootstrap.HELLO, lambda _: parts.bootstrap.say_hello()),
            _timer(bootstrap.HELLO_AGAIN, lambda _: parts.bootstrap.hello_again()),
            _timer(
                election.CAMPAIGN, lambda _: parts.election.campaign(), leadership=True, void_when_late=True
            ),
            _timer(
                election.VOTES, lambda _: parts.election.votes_are_in(), leadership=True, void_when_late=True
            ),
            _timer(worker_lease.GATE, lambda _: parts.worker_lease.expired(), leadership=True),
            _timer(
                leader_leases.LEASE_DUE, lambda id: parts.leader_leases.ask(NodeId(id)), leadership=True
            ),
            _timer(leader_leases.HELD, lambda _: parts.leader_leases.review(), leadership=True),
            _timer(reaping.REAP, lambda _: parts.reaper.reap()),
            _timer(form_choice.FORM, lambda _: parts.form_choice.due()),
            _timer(reports.RECORD, lambda _: parts.reports.record_due()),
            _timer(reports.STATE, lambda _: parts.reports.state_due()),
            _timer(ACTS, lambda _: memory.keep_acts()),
        ])  # fmt: skip

    def _event_table(self, parts: Parts) -> dict[type[Any], tuple[Callable[[Any], None], ...]]:
        """The reactions to each internal event, in this order."""
        return dict([
            _event(events.FactStored, self._fact_stored),
            _event(events.FactDeferred, lambda e: parts.gossip.came(e.key, e.source)),
            _event(events.StaleSuspicionHeard, lambda e: parts.membership.suspected(e.suspicion)),
            _event(events.RightsLost, lambda _: parts.expulsion.enforce()),
            _event(events.SuspicionRaised, lambda e: parts.prober.probe_suspect(e.suspect, e.refused)),
            _event(events.FinalProbeDue, lambda e: parts.prober.probe_finally(e.suspect)),
            _event(events.MemberGone, lambda _: parts.election.reconsider()),
            _event(
                events.NewerGenerationSeen,
                lambda e: parts.reports.advance_generation(e.generation),
                lambda _: parts.leader_leases.invalidate(parts.terms.highest),  # of another generation
            ),
            _event(events.FormChanged, lambda _: parts.reports.sign_again()),
            _event(events.LeaseRefused, lambda _: parts.election.outranked()),
            _event(events.Reclaimed, lambda e: parts.reports.restate(e.former_term)),
            _event(
                events.ProcessPaused,
                lambda _: parts.membership.stalled(),
                lambda _: parts.prober.abandon(),
                lambda _: parts.election.stalled(),
                lambda _: parts.leader_leases.stalled(),
            ),
        ])  # fmt: skip

    # --- the inputs of the tables

    def receive(self, sender: NodeId, source: Endpoint, message: Message, datagram: bytes) -> None:
        """Dispatch a member's proven message; pass on an Ack for another member as it came."""
        if type(message) is messages.Ack and self._prober.relay(sender, message, datagram):
            return
        self.messages[type(message)](sender, source, message)

    def receive_stream(self, sender: NodeId, source: Endpoint | None, message: Message) -> None:
        """Dispatch a message that may be too large for a datagram: facts, and the contents of buckets.

        ``source`` is None while no record of the sender came: the facts may hold the first.
        """
        if isinstance(message, messages.Bodies):
            self._gossip.received(sender, source, message.facts)
        elif isinstance(message, messages.Contents):
            self._gossip.contents(sender, source, message)

    def react(self, event: InternalEvent) -> None:
        """Let all parts react to an event that a part emitted."""
        for react in self.events[type(event)]:
            react(event)

    # --- reactions in which several parts share

    def _fact_stored(self, stored: events.FactStored) -> None:
        """Let the parts react that the fact concerns, then spread it."""
        signed, context = stored.signed, self._context
        fact = signed.fact
        if not isinstance(fact, facts.Liveness | facts.Suspicion):
            context.leadership_dirty = True
        if fact.author == context.id:
            self._owner.own_act_stored(signed)
            self._keep_words()
        self.facts[type(fact)](fact)
        self._gossip.spread(signed)

    def _pinged(self, sender: NodeId, source: Endpoint, ping: messages.Ping) -> None:
        mine = self._membership
        if not (self._context.running or self._reports.left):
            return
        self._inform(sender, source)
        ack = messages.Ack(
            ping.token, self._older_sets.summary_for(sender), mine.generation, mine.incarnation
        )
        self._context.send(sender, source, ack)
        self._compare(sender, source, ping)

    def _acked(self, sender: NodeId, source: Endpoint, ack: messages.Ack) -> None:
        self._prober.acked(sender, source, ack.token)
        self._inform(sender, source)
        self._compare(sender, source, ack)

    def _inform(self, sender: NodeId, source: Endpoint) -> None:
        """Inform a suspect or dead member that speaks all the same, so that it can refute."""
        peer = self._membership.peers.get(sender)
        if peer is not None and peer.state in (MemberState.DEAD, MemberState.SUSPECT):
            self._membership.inform(peer, source)

    def _compare(self, sender: NodeId, source: Endpoint, theirs: messages.Ping | messages.Ack) -> None:
        """Pull the proof of a later liveness, which counts only as a signed fact; compare the set hashes."""
        peer = self._membership.peers.get(sender)
        if peer is None or (theirs.generation, theirs.incarnation) > peer.liveness:
            proofs = [place_key(kind.kind, sender) for kind in (facts.Liveness, facts.Record)]
            self._gossip.ask(sender, source, proofs)
        self._gossip.compare(sender, source, theirs.summary)

    def _facts_came(self, sender: NodeId, source: Endpoint, bodies: messages.Bodies) -> None:
        self._gossip.received(sender, source, bodies.facts)
        self._gossip.refute(sender, source)

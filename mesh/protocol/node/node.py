"""One member of a pool as a pure machine: inputs come in with the time, effects go out as a list.

The Node drives the parts (roster, facts, membership, probes, gossip, election, leases). It reads no clock,
opens no socket and draws no random number of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from mesh.protocol.base.context import NO_POOL, Context, RandomSource
from mesh.protocol.base.effects import (
    Effect,
    LeaderChanged,
    MembersChanged,
    Timer,
)
from mesh.protocol.base.settings import Settings
from mesh.protocol.dissemination import bootstrap, gossip, reaping
from mesh.protocol.leadership import election, leader_leases, worker_lease
from mesh.protocol.leadership.reports import RECORD, STATE
from mesh.protocol.membership import membership, probes
from mesh.protocol.node.dispatch import Router
from mesh.protocol.node.news import News
from mesh.protocol.node.persisted import ACTS, PersistedState
from mesh.protocol.node.views import Views
from mesh.protocol.node.wiring import Parts
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, open_envelope
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import (
    DEFAULT_COPIES,
    Claim,
    Model,
    Profile,
    Resignation,
    Stage,
    Voucher,
    decode,
)
from mesh.wire.identity import NodeId, Signer, Verifier, pool_id
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED
from mesh.wire.rights import Rights

_LEADERSHIP_TIMERS = frozenset(
    {election.CAMPAIGN, election.VOTES, worker_lease.GATE, leader_leases.HELD, leader_leases.WORKER_LEASE}
)
"""Timers of the leadership and the leases; the others stir them only by what they change."""


class Node(Views):
    """A member, or one that is about to become one by ``found`` or ``admit``."""

    def __init__(
        self,
        settings: Settings,
        signer: Signer,
        verifier: Verifier,
        random: RandomSource,
        stored: Mapping[str, bytes],
    ) -> None:
        super().__init__(
            Parts(Context(settings, signer, verifier, random), lambda signed: self._news.take(signed))
        )
        self._context = self._parts.context
        self._news = News(self._parts, self)
        self._persisted = PersistedState(self._parts, stored)
        self._running = False
        self._router = Router(self._parts, lambda: self._running)
        self._timers = self._actions()
        self._told_leader: Claim | None = None
        self._stalled_at = float("-inf")
        self._persisted.restore()

    def _actions(self) -> dict[str, Callable[[bytes], None]]:
        """What each kind of timer sets off."""
        return {
            probes.PERIOD: lambda _: self._parts.prober.tick(),
            probes.AGAIN: self._parts.prober.again,
            probes.RELAY: self._parts.prober.relay_is_late,
            membership.SUSPICION: lambda subject: self._parts.membership.suspicion_ends(NodeId(subject)),
            gossip.ROUND: lambda _: self._parts.gossip.round(),
            gossip.RETRY: lambda _: self._parts.gossip.retry(),
            bootstrap.HELLO: lambda _: self._parts.bootstrap.say_hello(),
            bootstrap.HELLO_AGAIN: lambda _: self._parts.bootstrap.hello_again(),
            election.CAMPAIGN: lambda _: self._parts.election.campaign(),
            election.VOTES: lambda _: self._parts.election.votes_are_in(),
            worker_lease.GATE: lambda _: self._parts.worker_lease.expired(),
            leader_leases.WORKER_LEASE: lambda subject: self._parts.leader_leases.ask(NodeId(subject)),
            leader_leases.HELD: lambda _: self._parts.leader_leases.review(),
            reaping.REAP: lambda _: self._parts.reaper.reap(),
            RECORD: lambda _: self._parts.reports.record_due(),
            STATE: lambda _: self._parts.reports.state_due(),
            ACTS: lambda _: self._persisted.keep_acts(),
        }

    # --- becoming a member, starting, leaving

    def found(self, now: float) -> list[Effect]:
        """Found a pool: its id comes from this node's key."""
        self._begin(now)
        if self.pool is not None:
            raise MeshError("This node belongs to a pool already", "leave it first: `mesh leave`")
        self._parts.form(pool_id(self._context.signer.public_key))
        self._parts.owner.found()
        self._persisted.keep_acts()
        return self._end()

    def admit(self, now: float, chain: Sequence[bytes]) -> list[Effect]:
        """Become a member by the chain of vouchers that an owner gave; MeshError when it does not hold.

        A node that comes back to a pool which it had left is given a chain again.
        """
        self._begin(now)
        try:
            first = decode(chain[0]).fact if chain else None
        except DecodeError:
            first = None
        if not isinstance(first, Voucher):
            raise MeshError("The admission holds no voucher of a pool's founder")
        if self.pool not in (None, first.pool):
            raise MeshError("This node belongs to a pool already", "leave it first: `mesh leave`")
        self._parts.form(first.pool)
        self._parts.validator.absorb_all(chain)
        if self._context.id not in self._parts.roster:
            self._parts.form(NO_POOL)
            raise MeshError("The admission does not lead from the pool's founder to this node")
        self._persisted.keep_acts()
        return self._end()

    def start(self, now: float, profile: Profile) -> list[Effect]:
        """Take part: with a new generation, a record, probes, and a voice in elections."""
        self._begin(now)
        if self._context.id in self._parts.roster.evicted:
            raise MeshError(
                "This machine was evicted from the pool", "`mesh leave --purge`, then join anew as another"
            )
        if self.pool is None or self._context.id not in self._parts.roster:
            raise MeshError("This node belongs to no pool yet", "`mesh join`")
        self._running = True
        self._persisted.resume()
        self._parts.reports.begin(profile, self._persisted.integer("incarnation") + 1)
        self._parts.prober.start()
        self._parts.reaper.start()
        self._parts.election.rank = profile.rank
        self._persisted.give_up_former_claim()
        self._parts.election.start()
        return self._end()

    def leave(self, now: float) -> list[Effect]:
        """Say goodbye: leases and claim are given up, a last record says so; probes are still answered."""
        self._begin(now)
        if self._running:
            self._parts.leader_leases.release(self._parts.leader_leases.held(now))
            self._parts.election.stop()
            self._parts.leader_leases.review()
            self._parts.worker_lease.close()
            self._parts.prober.stop()
            self._running = False
            farewell = self._parts.reports.leave()
            last = [farewell.data]
            resignation = self._parts.store.get(Resignation, self._context.id)
            if resignation is not None:
                last.append(resignation.data)
            for peer in self._parts.membership.pick(16):
                if peer.endpoint is not None:
                    self._context.send_bodies(peer.id, peer.endpoint, last)
        return self._end()

    # --- inputs

    def receive(self, now: float, source: Endpoint, payload: bytes) -> list[Effect]:
        """A datagram came from there."""
        self._begin(now, leadership_dirty=False)
        try:
            envelope = open_envelope(payload, MAX_DATAGRAM)
            why = self._refusal(envelope, source)
            if why is None:
                self._router.deliver(envelope, source, messages.decode(envelope.body, MAX_DATAGRAM))
            elif why:
                self._context.drops.count(why, source)
        except DecodeError:
            self._context.drops.count("malformed", source)
        return self._end()

    def _refusal(self, envelope: Envelope, source: Endpoint) -> str | None:
        """Why a datagram is not looked into, empty for no fault of its sender's; None for one that is.

        The cheapest checks come first, each to spare the next one; decoding and the signature come after.
        """
        if envelope.pool != self._context.pool or self._context.pool == NO_POOL:
            return "foreign"
        if envelope.sender == self._context.id or self._parts.expulsion.expelled:
            return ""
        if not self._router.is_new(envelope, source):
            return "replayed"
        return None if self._parts.rate_limits.allow(self._context.now, source) else "flood"

    def receive_stream(self, now: float, peer: NodeId, payload: bytes) -> list[Effect]:
        """A message too large for a datagram came over a stream that proved to be this member's."""
        self._begin(now)
        known = self._parts.membership.peers.get(peer)
        ours = peer in self._parts.roster and not self._parts.expulsion.expelled
        if known is not None and known.endpoint is not None and ours:
            try:
                self._router.streamed(peer, known.endpoint, messages.decode(payload, MAX_STREAMED))
            except DecodeError:
                self._context.drops.count("malformed", known.endpoint)
        return self._end()

    def fire(self, now: float, timer: Timer) -> list[Effect]:
        """A timer is due; a stale one changes nothing."""
        due = self._context.due(timer)
        if due is None or self._parts.expulsion.expelled:
            return []
        self._begin(now, leadership_dirty=timer.kind in _LEADERSHIP_TIMERS)
        late = now - due > self._context.settings.stall
        if late:
            self._stall(now)
        if not (late and timer.kind in (membership.SUSPICION, election.VOTES, election.CAMPAIGN)):
            self._timers[timer.kind](timer.subject)
        return self._end()

    def publish(self, now: float, profile: Profile) -> list[Effect]:
        """The machine has changed; told at most twice a second; small changes of rank and memory are not."""
        self._begin(now)
        if self._running:
            self._parts.reports.publish(profile)
        return self._end()

    def add_seeds(self, now: float, endpoints: Iterable[Endpoint]) -> list[Effect]:
        """Members may live at these addresses: greet them."""
        self._begin(now)
        if self._running:
            self._parts.bootstrap.add_seeds(endpoints)
        return self._end()

    def vouch(self, now: float, key: bytes, rights: Rights) -> list[Effect]:
        """Vouch for a key; raises MeshError when this node is no owner."""
        self._begin(now)
        self._parts.owner.vouch(key, rights)
        self._persisted.keep_acts()
        return self._end()

    def evict(self, now: float, member: NodeId) -> list[Effect]:
        """Put a member out of the pool for ever; raises MeshError when this node is no owner."""
        self._begin(now)
        endpoint = self._parts.membership.endpoint(member)
        self._parts.owner.evict(member)
        self._persisted.keep_acts()
        if endpoint is not None:
            self._parts.bootstrap.show_eviction(member, endpoint)
        return self._end()

    def deploy(
        self,
        now: float,
        model: Model,
        context: int,
        slots: int,
        running: bool,
        layers: Sequence[tuple[NodeId, int]] = (),
        copies: int = DEFAULT_COPIES,
    ) -> list[Effect]:
        """Say what the pool is to run; raises MeshError when this node is no owner."""
        self._begin(now)
        self._parts.owner.deploy(model, context, slots, running, tuple(layers), copies)
        return self._end()

    def want_leases(self, now: float, workers: Iterable[NodeId]) -> list[Effect]:
        """The leader needs these workers; nothing happens on any other node."""
        self._begin(now)
        self._parts.leader_leases.want(workers)
        return self._end()

    def release_leases(self, now: float, workers: Iterable[NodeId]) -> list[Effect]:
        """The leader gives these workers back."""
        self._begin(now)
        self._parts.leader_leases.release(workers)
        return self._end()

    def report(
        self,
        now: float,
        deployment: int,
        phase: str,
        progress: float,
        reason: str,
        tokens_per_second: float,
        stages: Sequence[Stage],
    ) -> list[Effect]:
        """The leader tells how the deployment of that number goes; spread at most once in a while."""
        self._begin(now)
        self._parts.reports.report(deployment, phase, progress, reason, tokens_per_second, tuple(stages))
        return self._end()

    def hand_over(self, now: float, to: NodeId) -> list[Effect]:
        """Let another lead; raises MeshError when this node does not lead or the other may not."""
        self._begin(now)
        peer = self._parts.membership.peers.get(to)
        if self._parts.election.mine is None:
            raise MeshError("This node does not lead")
        if peer is None or to not in self._parts.election.ranking():
            raise MeshError("That member cannot lead at present", "see `mesh members`")
        resignation = self._parts.election.step_down(to)
        if resignation is not None and peer.endpoint is not None:
            self._context.send_bodies(to, peer.endpoint, [resignation.data])
        return self._end()

    def connection_reset(self, now: float, peer: NodeId) -> list[Effect]:
        """A stream of the member was reset, or its host says that nobody listens: probe it at once."""
        self._begin(now)
        known = self._parts.membership.peers.get(peer)
        if known is not None and known.present and self._running:
            self._parts.membership.reset(known)
            self._parts.prober.probe(known, hurry=True)
        return self._end()

    def probe_result(
        self, now: float, to: NodeId, token: int, ok: bool, refused: bool = False
    ) -> list[Effect]:
        """How a TCP probe went; ``refused``: the machine answered that nobody listens there."""
        self._begin(now)
        self._parts.prober.stream_result(to, token, ok, refused)
        return self._end()

    # --- the frame of every input

    def _begin(self, now: float, leadership_dirty: bool = True) -> None:
        context = self._context
        if now > context.now:
            context.now = now
        context.effects = []
        context.leadership_dirty = leadership_dirty

    def _end(self) -> list[Effect]:
        """What follows from what changed, and all effects of this input in their order."""
        if self._context.leadership_dirty or self._context.members_changed:
            self._review()
        return self._context.effects

    def _withdraw(self) -> None:
        """This node was put out of its pool."""
        self._running = False
        self._persisted.keep_acts()

    def _review(self) -> None:
        if self._running and self._parts.expulsion.expelled:
            self._withdraw()
        if self._running:
            self._parts.election.review()
        leader = self.leader()
        self._parts.worker_lease.review()
        if leader != self._told_leader:
            self._told_leader = leader
            self._parts.leader_leases.review()
            self._context.tell(LeaderChanged(leader))
        if self._context.members_changed:
            self._context.members_changed = False
            self._context.tell(MembersChanged())

    def _stall(self, now: float) -> None:
        if now - self._stalled_at > self._context.settings.stall:
            self._stalled_at = now
            self._context.leadership_dirty = True
            self._context.notice("warning", "this process was paused for a while")
            self._parts.membership.stalled()
            self._parts.prober.abandon()
            self._parts.election.stalled()
            self._parts.leader_leases.stalled()

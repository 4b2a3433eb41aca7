"""One member of a pool as a pure state machine: inputs carry the time, effects come back as a list.

The Node drives the parts (roster, facts, membership, probes, gossip, election, leases). It reads no clock,
opens no socket and draws no random number of its own. Times (``now``) are seconds of one clock that never
goes back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mesh.protocol.base.context import NO_POOL, Context, RandomSource
from mesh.protocol.base.drop_counters import DropCounters, DropReason
from mesh.protocol.base.effects import Effect, LeaderChanged, MembersChanged, Timer
from mesh.protocol.base.internal_events import ProcessPaused
from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.authentication import Authentication
from mesh.protocol.node.dispatch import Dispatch
from mesh.protocol.node.inspect import Inspection
from mesh.protocol.node.persisted import PersistedState
from mesh.protocol.node.wiring import Parts
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import open_envelope
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import (
    DEFAULT_COPIES,
    Claim,
    Deployment,
    DeploymentOptions,
    PoolEngine,
    PoolState,
    Quarantine,
    Record,
    Resignation,
    Stage,
    Voucher,
)
from mesh.wire.identity import NodeId, PoolId, Signer, Verifier, id_text, pool_id
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import Rights
from mesh.wire.states import Phase
from mesh.wire.versions import SPOKEN, Versions

LONG_PAUSE: Final = 3.0
"""Seconds for which this process was stopped: its streams may have broken by that."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as status shows it; ``rtt`` in seconds, None while not measured."""

    id: NodeId
    key: bytes
    rights: Rights
    record: Record | None
    state: MemberState
    endpoint: Endpoint | None
    rtt: float | None
    speaks: Versions | None = None
    """The wire versions that its program speaks, as far as this node knows."""
    is_understood: bool = True
    """Whether this node's program speaks one of them."""
    answered_at: float = field(default=-math.inf, compare=False)
    """When it last answered this node on the direct way, in seconds of this node's clock; ..."""
    doubted_at: float = field(default=-math.inf, compare=False)
    """... and when it, or that way, last gave reason for a doubt: a late answer, a suspicion, another run."""


class Node:
    """A member of a pool, or a node that becomes one by ``found`` or ``admit``."""

    def __init__(
        self,
        settings: Settings,
        signer: Signer,
        verifier: Verifier,
        random: RandomSource,
        stored: Mapping[str, bytes],
        speaks: Versions = SPOKEN,
        later: bytes = b"",
    ) -> None:
        """``later``: what a later version than this program's appends to its facts; for simulations alone."""
        self._context = Context(settings, signer, verifier, random, speaks, later)
        self._parts = Parts(self._context)
        self._persisted = PersistedState(self._parts, stored)
        self._authentication = Authentication(self._parts)
        self._dispatch = Dispatch(self._parts, self._persisted)
        self._context.dispatch = self._dispatch.react
        self._reported_leader: Claim | None = None
        self._stalled_at = self._stood_still_at = -math.inf
        self._persisted.restore()

    # --- becoming a member, starting, leaving

    def found(self, now: float) -> list[Effect]:
        """Found a pool, whose id comes from this node's key; MeshError when the node has a pool."""
        self._begin(now)
        if self.pool is not None:
            raise MeshError("This node belongs to a pool already", "leave it first: `mesh leave`")
        self._parts.form(pool_id(self._context.signer.public_key))
        self._parts.owner.found()
        self._persisted.keep_acts()
        return self._end()

    def admit(self, now: float, chain: Sequence[bytes]) -> list[Effect]:
        """Become a member by the chain of vouchers from an owner; MeshError when it does not hold.

        A node that comes back to a pool that it left gets a chain again.
        """
        self._begin(now)
        try:
            first = self._context.read(chain[0]).fact if chain else None
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
        """Take part with a new generation: sign a record, probe, vote; MeshError unless it is a member."""
        self._begin(now)
        if self._context.id in self._parts.roster.evicted:
            raise MeshError(
                "This machine was evicted from the pool", "`mesh leave --purge`, then join anew as another"
            )
        if self.pool is None or self._context.id not in self._parts.roster:
            raise MeshError("This node belongs to no pool yet", "`mesh join`")
        self._context.running = True
        self._persisted.resume()
        generation = self._persisted.integer("incarnation") + 1
        self._parts.form_choice.begin(self._persisted.integer("form"), is_first_run=generation == 1)
        self._parts.reports.begin(profile, generation)
        self._parts.prober.start()
        self._parts.reaper.start()
        self._parts.election.rank = profile.rank
        self._persisted.give_up_former_claim()
        self._parts.election.start()
        return self._end()

    def leave(self, now: float) -> list[Effect]:
        """Leave: release leases, resign, and sign a last record that says so; pings still get an answer."""
        self._begin(now)
        if self._context.running:
            self._parts.leader_leases.release(self._parts.leader_leases.held(now))
            self._parts.election.stop()
            self._parts.leader_leases.review()
            self._parts.worker_lease.close()
            self._parts.prober.stop()
            self._context.running = False
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
        """A datagram came from ``source``."""
        self._begin(now, leadership_dirty=False)
        try:
            envelope = open_envelope(payload, MAX_DATAGRAM)
            why = self._authentication.refusal(envelope, source)
            if why is None:
                message = self._decode(envelope.body, MAX_DATAGRAM)
                if self._authentication.proves(envelope, source, message):
                    self._dispatch.receive(envelope.sender, source, message, envelope.data)
            elif why:
                self._context.drops.count(why, source)
        except DecodeError:
            self._context.drops.count(DropReason.MALFORMED, source)
        return self._end()

    def receive_stream(self, now: float, peer: NodeId, payload: bytes) -> list[Effect]:
        """A message too large for a datagram came over a stream that this member proved to be its own."""
        self._begin(now)
        if peer in self._parts.roster and not self._parts.expulsion.expelled:
            try:
                message = self._decode(payload, MAX_STREAMED)
                self._dispatch.receive_stream(peer, self._parts.membership.endpoint(peer), message)
            except DecodeError:
                self._context.drops.count(DropReason.MALFORMED, id_text(peer))
        return self._end()

    def fire(self, now: float, timer: Timer) -> list[Effect]:
        """A timer is due; a stale one changes nothing."""
        due = self._context.due(timer)
        if due is None or self._parts.expulsion.expelled:
            return []
        reaction = self._dispatch.timers[timer.kind]
        self._begin(now, reaction.leadership)
        late = now - due > self._context.settings.stall
        if late:
            self._paused(now)
        if now - due > LONG_PAUSE:
            self._stood_still_at = now
        if not (late and reaction.void_when_late):
            reaction.react(timer.subject)
        return self._end()

    def publish(self, now: float, profile: Profile) -> list[Effect]:
        """The machine's profile changed: publish it, at most twice a second, and small changes not at all."""
        self._begin(now)
        if self._context.running:
            self._parts.reports.publish(profile)
        return self._end()

    def add_seeds(self, now: float, endpoints: Iterable[Endpoint]) -> list[Effect]:
        """Members may live at these addresses: send them hellos."""
        self._begin(now)
        if self._context.running:
            self._parts.bootstrap.add_seeds(endpoints)
        return self._end()

    def vouch(self, now: float, key: bytes, rights: Rights) -> list[Effect]:
        """Vouch for a key; raises MeshError when this node is no owner."""
        self._begin(now)
        with self._parts.form_choice.naming_older_members():
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
        options: DeploymentOptions | None = None,
        second: Model | None = None,
        essential: bool = False,
    ) -> list[Effect]:
        """Say what the pool runs from now on; raises MeshError when this node is no owner.

        ``options`` of None: those of the model's deployment so far, and its ``second`` file. A member of an
        older wire version that is present would not read new ones: then it goes without them, or raises
        MeshError if they are ``essential``.
        """
        self._begin(now)
        with self._parts.form_choice.naming_older_members():
            self._parts.owner.deploy(
                model, context, slots, running, tuple(layers), copies, options, second, essential
            )
        return self._end()

    def choose_engine(self, now: float, release: str, digest: bytes) -> list[Effect]:
        """Say which llama.cpp the pool runs; raises MeshError when this node is no owner."""
        self._begin(now)
        with self._parts.form_choice.naming_older_members():
            self._parts.owner.choose_engine(release, digest)
        return self._end()

    def want_leases(self, now: float, workers: Iterable[NodeId]) -> list[Effect]:
        """The leader needs exactly these workers; a node that does not lead does nothing."""
        self._begin(now)
        self._parts.leader_leases.want(workers)
        return self._end()

    def release_leases(self, now: float, workers: Iterable[NodeId]) -> list[Effect]:
        """The leader releases these workers."""
        self._begin(now)
        self._parts.leader_leases.release(workers)
        return self._end()

    def report(
        self,
        now: float,
        deployment: int,
        phase: Phase,
        progress: float,
        reason: str,
        tokens_per_second: float,
        stages: Sequence[Stage],
        quarantines: Sequence[Quarantine] = (),
    ) -> list[Effect]:
        """The leader says how the deployment of that number goes; signed at a bounded rate (``Settings``)."""
        self._begin(now)
        self._parts.reports.report(
            deployment, phase, progress, reason, tokens_per_second, tuple(stages), tuple(quarantines)
        )
        return self._end()

    def hand_over(self, now: float, to: NodeId) -> list[Effect]:
        """Resign in favour of another member; MeshError when this node does not lead or the other cannot."""
        self._begin(now)
        peer = self._parts.membership.peers.get(to)
        if self._parts.claims.mine is None:
            raise MeshError("This node does not lead")
        if peer is None or to not in self._parts.election.ranking():
            raise MeshError("That member cannot lead at present", "see `mesh members`")
        resignation = self._parts.election.step_down(to)
        if resignation is not None and peer.endpoint is not None:
            self._context.send_bodies(to, peer.endpoint, [resignation.data])
        return self._end()

    def connection_reset(self, now: float, peer: NodeId) -> list[Effect]:
        """A stream of the member was reset, or its host refused the port: probe it at once."""
        self._begin(now)
        known = self._parts.membership.peers.get(peer)
        if known is not None and known.present and self._context.running:
            self._parts.membership.reset(known)
            self._parts.prober.probe(known, hurry=True)
        return self._end()

    def probe_result(
        self, now: float, to: NodeId, token: int, ok: bool, refused: bool = False
    ) -> list[Effect]:
        """The outcome of a TCP probe; ``refused``: the machine refused the port."""
        self._begin(now)
        self._parts.prober.stream_result(to, token, ok, refused)
        return self._end()

    # --- for simulations alone: no program does this with a running Node

    def take_number(self) -> int:
        """A fresh number for a datagram that a simulation seals with this Node's key."""
        self._context.sent += 1
        return self._context.sent

    def drop_rumours(self) -> None:
        """Drop all rumours that are still to be told, as a restart would."""
        self._parts.gossip.drop_rumours()

    # --- the frame of every input

    def _decode(self, body: bytes, limit: int) -> messages.Message:
        return messages.decode(body, limit, self._context.speaks.newest)

    def _begin(self, now: float, leadership_dirty: bool = True) -> None:
        context = self._context
        if now > context.now:
            context.now = now
        context.effects = []
        context.leadership_dirty = leadership_dirty

    def _end(self) -> list[Effect]:
        """Evaluate what this input changed; returns all effects of the input in their order."""
        if self._context.leadership_dirty or self._context.members_changed:
            self._review()
        return self._context.effects

    def _withdraw(self) -> None:
        """This node is out of its pool: stop taking part, and persist the acts that say so."""
        self._context.running = False
        self._persisted.keep_acts()

    def _review(self) -> None:
        if self._context.running and self._parts.expulsion.expelled:
            self._withdraw()
        if self._context.running and self._context.members_changed:
            self._parts.form_choice.review()
        if self._context.running:
            self._parts.election.review()
        leader = self.leader()
        self._parts.worker_lease.review()
        if leader != self._reported_leader:
            self._reported_leader = leader
            self._parts.leader_leases.review()
            self._context.tell(LeaderChanged(leader))
        if self._context.members_changed:
            self._context.members_changed = False
            self._context.tell(MembersChanged())

    def _paused(self, now: float) -> None:
        if now - self._stalled_at > self._context.settings.stall:
            self._stalled_at = now
            self._context.leadership_dirty = True
            self._context.notice("warning", "this process was paused for a while")
            self._context.emit(ProcessPaused())

    # --- views for status, gateway, discovery and checkers: plain values

    @property
    def id(self) -> NodeId:
        return self._parts.context.id

    @property
    def pool(self) -> PoolId | None:
        return self._parts.context.pool if self._parts.context.pool != NO_POOL else None

    @property
    def generation(self) -> int:
        return self._parts.membership.generation

    @property
    def stood_still_at(self) -> float:
        """When this process last went on after a pause of more than `LONG_PAUSE` seconds."""
        return self._stood_still_at

    def members(self) -> list[Member]:
        """The members that this node has heard of and not forgotten, itself included, sorted by id.

        One whose datagrams it cannot read is among them, without a record if it has shown none before that.
        """
        ids = sorted({self.id, *self._parts.membership.peers, *self._authentication.heard_speaking})
        return [member for id in ids if (member := self.member(id)) is not None]

    def member(self, id: NodeId) -> Member | None:
        """One of `members`; None for another id."""
        vouched = self._parts.roster.members.get(id)
        if vouched is None:
            return None
        if id == self.id:
            own = self._parts.store.get(Record, id)
            if own is None:
                return None
            addresses = own.fact.profile.addresses
            state = MemberState.LEFT if own.fact.left else MemberState.ALIVE
            endpoint = addresses[0] if addresses else None
            mine = self._context.speaks
            return Member(id, vouched.key, vouched.rights, own.fact, state, endpoint, None, mine)
        peer = self._parts.membership.peers.get(id)
        key, rights = vouched.key, vouched.rights
        speaks, source = self._authentication.heard_speaking.get(id, (None, None))
        if peer is None:
            if speaks is None:
                return None
            last = self._parts.store.get(Record, id)
            record = None if last is None else last.fact
            return Member(id, key, rights, record, MemberState.DEAD, source, None, speaks, False)
        # One that left, and is heard in a version that this node does not read, is back and out of reach.
        state = MemberState.DEAD if speaks and peer.state is MemberState.LEFT else peer.state
        if speaks is None and peer.record is not None:
            speaks = peer.record.speaks
        understood = speaks is None or self._context.speaks.common(speaks) is not None
        return Member(
            id, key, rights, peer.record, state, peer.endpoint, peer.rtt, speaks, understood,
            peer.answered_at, peer.doubted_at,
        )  # fmt: skip

    def leader(self) -> Claim | None:
        signed = self._parts.claims.leader()
        return signed.fact if signed is not None else None

    def deployment(self) -> Deployment | None:
        """The deployment in force: of all owners' the one with the highest number."""
        return self._parts.owner.deployment()

    def pool_engine(self) -> PoolEngine | None:
        """An owner's word on which llama.cpp the pool runs, if any: the one with the highest number."""
        return self._parts.owner.pool_engine()

    def pool_state(self) -> PoolState | None:
        """The pool state that the present leader signed in its term, if any."""
        leader = self.leader()
        signed = self._parts.store.get(PoolState, leader.author) if leader is not None else None
        state: PoolState | None = signed.fact if signed is not None else None
        return state if state is not None and leader is not None and state.term == leader.term else None

    def own_state(self) -> PoolState | None:
        """The last pool state that this node signed, in an earlier run perhaps: others told it of that."""
        signed = self._parts.store.get(PoolState, self.id)
        return None if signed is None else signed.fact

    def inspect(self) -> Inspection:
        """A view of the inside, for checkers and measurements."""
        return Inspection(self, self._parts)

    def chain(self, id: NodeId) -> list[bytes]:
        """The signed vouchers from the founder to the member; empty for a stranger."""
        return self._parts.roster.chain(id)

    def keys(self) -> Mapping[NodeId, bytes]:
        """The public keys of all members of the pool, by id."""
        return {id: vouched.key for id, vouched in self._parts.roster.members.items()}

    def knows(self, source: Endpoint) -> bool:
        """Whether a member has proven to speak from that address."""
        return self._parts.rate_limits.knows(source)

    @property
    def drops(self) -> DropCounters[DropReason]:
        """Counts of what this node refused."""
        return self._parts.context.drops

    def is_evicted(self, id: NodeId) -> bool:
        """Whether an owner evicted this id, which puts it out of the pool for ever."""
        return id in self._parts.roster.evicted

    def rights(self, id: NodeId) -> Rights:
        return self._parts.roster.rights(id)

    def leases(self, now: float) -> frozenset[NodeId]:
        """The workers whose leases this leader holds at ``now``."""
        return self._parts.leader_leases.held(now)

    def holder(self, now: float) -> Claim | None:
        """The claim whose author's streams this worker's gate may pass."""
        return self._parts.worker_lease.holder(now)

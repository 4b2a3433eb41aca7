"""One member of a pool as a pure machine: inputs come in with the time, effects go out as a list.

The Node composes the parts (roster, facts, membership, probes, gossip, election, leases) and routes inputs to
them. It reads no clock, opens no socket and draws no random number of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mesh.protocol import arbiter, election, gossip, introductions, membership, probes, tenancy
from mesh.protocol.arbiter import Arbiter
from mesh.protocol.core import NO_POOL, Core, RandomSource
from mesh.protocol.effects import (
    DeploymentChanged,
    Effect,
    LeaderChanged,
    MembersChanged,
    StateChanged,
    Timer,
)
from mesh.protocol.election import Election
from mesh.protocol.gossip import Gossip
from mesh.protocol.intake import Intake
from mesh.protocol.introductions import Introductions
from mesh.protocol.membership import Membership
from mesh.protocol.owner import Owner
from mesh.protocol.peers import ALIVE, DEAD, LEFT, SUSPECT
from mesh.protocol.probes import Prober
from mesh.protocol.reports import RECORD, STATE, Reports
from mesh.protocol.roster import Roster
from mesh.protocol.settings import Settings
from mesh.protocol.store import FactStore
from mesh.protocol.tenancy import Tenancies
from mesh.protocol.views import Member
from mesh.wire import codec, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, open_envelope
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import (
    Accusation,
    Claim,
    Deployment,
    Liveness,
    Model,
    PoolState,
    Profile,
    Record,
    Resignation,
    Signed,
    Stage,
    Voucher,
    decode,
)
from mesh.wire.identity import NodeId, PoolId, Signer, Verifier, pool_id
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED, Message
from mesh.wire.rights import Rights

_VOUCHERS = "vouchers"
_MAX_STORED = 64 * 1024 * 1024


class Node:
    """A member, or one that is about to become one by ``found`` or ``admit``."""

    def __init__(
        self,
        settings: Settings,
        signer: Signer,
        verifier: Verifier,
        random: RandomSource,
        stored: Mapping[str, bytes],
    ) -> None:
        self._core = core = Core(settings, signer, verifier, random)
        self._stored = dict(stored)
        self._roster = Roster(NO_POOL)
        self._store = FactStore(settings.accusers)
        self._intake = Intake(core, self._roster, self._store, lambda: self._election.term_limit(), self._new)
        publish = self._intake.publish
        self._membership = Membership(core, self._roster, self._store, publish)
        self._prober = Prober(core, self._store, self._membership)
        self._gossip = Gossip(core, self._store, self._membership)
        self._election = Election(core, self._roster, self._store, self._membership, publish)
        self._arbiter = Arbiter(core, self._election, self._membership)
        self._tenancies = Tenancies(core, self._election, self._membership, self._arbiter)
        self._introductions = Introductions(core, self._roster, self._store, self._membership, self._intake)
        self._owner = Owner(core, self._roster, self._store, self._intake.take)
        self._reports = Reports(core, self._membership, self._election, publish)
        self._wire()
        self._told_leader: Claim | None = None
        self._stalled_at = float("-inf")
        self._running = False
        self._restore()

    def _wire(self) -> None:
        absorb = self._intake.absorb
        self._election.absorb = self._arbiter.absorb = self._tenancies.absorb = absorb
        self._membership.on_outrun = self._reports.overtake
        self._timers: dict[str, Callable[[bytes], None]] = {
            probes.PERIOD: lambda _: self._prober.tick(),
            probes.DIRECT: self._prober.direct_is_late,
            probes.END: self._prober.ended,
            probes.RELAY: self._prober.relay_is_late,
            membership.SUSPICION: lambda subject: self._membership.suspicion_ends(NodeId(subject)),
            gossip.ROUND: lambda _: self._gossip.round(),
            gossip.RETRY: lambda _: self._gossip.retry(),
            introductions.GREET: lambda _: self._introductions.greet(),
            introductions.GREET_AGAIN: lambda _: self._introductions.greet_again(),
            election.STAND: lambda _: self._election.stand(),
            election.VOTES: lambda _: self._election.votes_are_in(),
            arbiter.GATE: lambda _: self._arbiter.expired(),
            tenancy.LEASE: lambda subject: self._tenancies.ask(NodeId(subject)),
            tenancy.HELD: lambda _: self._tenancies.review(),
            RECORD: lambda _: self._reports.record_due(),
            STATE: lambda _: self._reports.state_due(),
            _VOUCHERS: lambda _: self._persist_vouchers(),
        }
        self._receivers: dict[type, Callable[[NodeId, Endpoint, Any, bytes], None]] = {
            messages.Ping: self._on_ping,
            messages.Ack: self._on_ack,
            messages.PingRequest: lambda f, at, m, _: self._prober.requested(f, at, m),
            messages.Relayed: lambda f, at, m, _: self._on_relayed(m),
            messages.Nack: lambda f, at, m, _: self._prober.nacked(f, m.token),
            messages.Hello: self._on_hello,
            messages.Rumours: lambda f, at, m, _: self._gossip.heard(f, at, m.rumours),
            messages.Pull: lambda f, at, m, _: self._gossip.pulled(f, at, m.keys),
            messages.Bodies: lambda f, at, m, _: self._on_bodies(m),
            messages.Buckets: lambda f, at, m, _: self._gossip.bucketed(f, at, m.hashes),
            messages.Contents: lambda f, at, m, _: self._gossip.contents(f, at, m.buckets, m.rumours),
            messages.VoteRequest: lambda f, at, m, _: self._election.asked(f, at, m.term),
            messages.Vote: lambda f, at, m, _: self._election.voted(f, m),
            messages.LeaseRequest: self._on_lease_request,
            messages.LeaseGrant: lambda f, at, m, _: self._tenancies.granted(f, m),
            messages.LeaseRefusal: lambda f, at, m, _: self._tenancies.refused(m),
            messages.LeaseRelease: lambda f, at, m, _: self._arbiter.released(f, m.number, m.term),
        }

    # --- becoming a member, starting, leaving

    def found(self, now: float) -> list[Effect]:
        """Found a pool: its id comes from this node's key."""
        self._begin(now)
        if self.pool is not None:
            raise MeshError("This node belongs to a pool already", "leave it first: `mesh leave`")
        self._form(pool_id(self._core.signer.public_key))
        self._owner.found()
        self._persist_vouchers()
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
        self._form(first.pool)
        self._intake.absorb_all(chain)
        if self._core.id not in self._roster:
            self._form(NO_POOL)
            raise MeshError("The admission does not lead from the pool's founder to this node")
        self._persist_vouchers()
        return self._end()

    def start(self, now: float, profile: Profile) -> list[Effect]:
        """Take part: with a new incarnation, a record, probes, and a voice in elections."""
        self._begin(now)
        if self.pool is None or self._core.id not in self._roster:
            raise MeshError("This node belongs to no pool yet", "`mesh join`")
        self._running = True
        self._arbiter.restore(self._stored.get("grant"))
        if (data := self._stored.get("deployment")) is not None:
            self._intake.absorb(data)
        self._reports.begin(profile, self._integer("incarnation") + 1)
        self._prober.start()
        self._election.rank = profile.rank
        self._give_up_former_claim()
        self._election.start()
        return self._end()

    def leave(self, now: float) -> list[Effect]:
        """Say goodbye: leases and claim are given up, a last record says so; probes are still answered."""
        self._begin(now)
        if self._running:
            self._tenancies.release(list(self._tenancies.held(now)))
            self._election.stop()
            self._tenancies.review()
            self._arbiter.close()
            self._core.cancel(probes.PERIOD, b"")
            self._prober.abandon()
            self._running = False
            farewell = self._reports.leave()
            last = [farewell.data]
            resignation = self._store.get(Resignation, self._core.id)
            if resignation is not None:
                last.append(resignation.data)
            for peer in self._membership.pick(16):
                if peer.endpoint is not None:
                    self._core.send_bodies(peer.id, peer.endpoint, last)
        return self._end()

    # --- inputs

    def receive(self, now: float, source: Endpoint, payload: bytes) -> list[Effect]:
        """A datagram came from there."""
        self._begin(now)
        try:
            envelope = open_envelope(payload, MAX_DATAGRAM)
            if envelope.pool == self._core.pool != NO_POOL and envelope.sender != self._core.id:
                self._deliver(envelope, source, messages.decode(envelope.body, MAX_DATAGRAM))
        except DecodeError:
            pass
        return self._end()

    def receive_stream(self, now: float, peer: NodeId, payload: bytes) -> list[Effect]:
        """A message came framed over a stream that proved to be this member's."""
        self._begin(now)
        known = self._membership.peers.get(peer)
        if known is not None and known.endpoint is not None and peer in self._roster:
            try:
                message = messages.decode(payload, MAX_STREAMED)
            except DecodeError:
                return self._end()
            if isinstance(message, messages.Bodies):
                self._on_bodies(message)
        return self._end()

    def fire(self, now: float, timer: Timer) -> list[Effect]:
        """A timer is due; a stale one changes nothing."""
        self._begin(now)
        due = self._core.due(timer)
        if due is None:
            return self._end()
        late = now - due > self._core.settings.stall
        if late:
            self._stall(now)
        if not (late and timer.kind in (membership.SUSPICION, election.VOTES, election.STAND)):
            self._timers[timer.kind](timer.subject)
        return self._end()

    def publish(self, now: float, profile: Profile) -> list[Effect]:
        """The machine has changed; told at most twice a second; small changes of rank and memory are not."""
        self._begin(now)
        if self._running:
            self._reports.publish(profile)
        return self._end()

    def meet(self, now: float, endpoints: Iterable[Endpoint]) -> list[Effect]:
        """Members may live at these addresses: greet them."""
        self._begin(now)
        if self._running:
            self._introductions.meet(endpoints)
        return self._end()

    def vouch(self, now: float, key: bytes, rights: Rights) -> list[Effect]:
        """Vouch for a key; raises MeshError when this node is no owner."""
        self._begin(now)
        self._owner.vouch(key, rights)
        self._persist_vouchers()
        return self._end()

    def deploy(
        self,
        now: float,
        model: Model,
        context: int,
        slots: int,
        running: bool,
        layers: Sequence[tuple[NodeId, int]] = (),
    ) -> list[Effect]:
        """Say what the pool is to run; raises MeshError when this node is no owner."""
        self._begin(now)
        self._owner.deploy(model, context, slots, running, tuple(layers))
        return self._end()

    def want_leases(self, now: float, workers: Iterable[NodeId]) -> list[Effect]:
        """The leader needs these workers; nothing happens on any other node."""
        self._begin(now)
        self._tenancies.want(workers)
        return self._end()

    def release_leases(self, now: float, workers: Iterable[NodeId]) -> list[Effect]:
        """The leader gives these workers back."""
        self._begin(now)
        self._tenancies.release(workers)
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
        self._reports.report(deployment, phase, progress, reason, tokens_per_second, tuple(stages))
        return self._end()

    def hand_over(self, now: float, to: NodeId) -> list[Effect]:
        """Let another lead; raises MeshError when this node does not lead or the other may not."""
        self._begin(now)
        peer = self._membership.peers.get(to)
        if self._election.mine is None:
            raise MeshError("This node does not lead")
        if peer is None or peer.state != ALIVE or Rights.LEAD not in self._roster.rights(to):
            raise MeshError("That member cannot lead at present", "see `mesh members`")
        resignation = self._election.step_down(to)
        if resignation is not None and peer.endpoint is not None:
            self._core.send_bodies(to, peer.endpoint, [resignation.data])
        return self._end()

    def connection_reset(self, now: float, peer: NodeId) -> list[Effect]:
        """A stream of the member was reset, or its host says that nobody listens: probe it at once."""
        self._begin(now)
        known = self._membership.peers.get(peer)
        if known is not None and known.present and self._running:
            self._membership.reset(known)
            self._prober.probe(known)
        return self._end()

    def probe_result(
        self, now: float, to: NodeId, token: int, ok: bool, refused: bool = False
    ) -> list[Effect]:
        """How a TCP probe went; ``refused``: the machine answered that nobody listens there."""
        self._begin(now)
        self._prober.stream_result(to, token, ok, refused)
        return self._end()

    # --- views

    @property
    def id(self) -> NodeId:
        return self._core.id

    @property
    def pool(self) -> PoolId | None:
        return self._core.pool if self._core.pool != NO_POOL else None

    @property
    def incarnation(self) -> int:
        return self._membership.incarnation

    def members(self) -> list[Member]:
        """All members that were ever heard of alive, self included, by id."""
        members = [
            Member(
                peer.id,
                vouched.key,
                vouched.rights,
                peer.record,
                peer.state,
                peer.endpoint,
                peer.rtt,
            )
            for peer in self._membership.peers.values()
            if (vouched := self._roster.members.get(peer.id)) is not None
        ]
        own = self._store.get(Record, self.id)
        if own is not None and self.id in self._roster:
            addresses = own.fact.profile.addresses
            vouched = self._roster.members[self.id]
            state = LEFT if own.fact.left else ALIVE
            endpoint = addresses[0] if addresses else None
            members.append(Member(self.id, vouched.key, vouched.rights, own.fact, state, endpoint, None))
        return sorted(members, key=lambda member: member.id)

    def leader(self) -> Claim | None:
        signed = self._election.leader()
        return signed.fact if signed is not None else None

    def deployment(self) -> Deployment | None:
        """What the pool is to run: of all owners' the one with the highest number."""
        every = [s.fact for s in self._store.all(Deployment) if s.fact.author in self._roster]
        return max(every, key=lambda fact: (fact.number, fact.author), default=None)

    def pool_state(self) -> PoolState | None:
        """What the present leader says of the deployment."""
        leader = self.leader()
        signed = self._store.get(PoolState, leader.author) if leader is not None else None
        state: PoolState | None = signed.fact if signed is not None else None
        return state if state is not None and leader is not None and state.term == leader.term else None

    def chain(self, id: NodeId) -> list[bytes]:
        """Signed vouchers from the founder to the member; empty for a stranger."""
        return self._roster.chain(id)

    def keys(self) -> Mapping[NodeId, bytes]:
        """The public keys of all present members of the pool."""
        return {id: vouched.key for id, vouched in self._roster.members.items()}

    def rights(self, id: NodeId) -> Rights:
        return self._roster.rights(id)

    def leases(self, now: float) -> frozenset[NodeId]:
        """The workers whose lease this leader holds."""
        return self._tenancies.held(now)

    def holder(self, now: float) -> Claim | None:
        """The claim whose author's streams this worker's gate may pass."""
        return self._arbiter.holder(now)

    # --- datagrams

    def _deliver(self, envelope: Envelope, source: Endpoint, message: Message) -> None:
        sender = envelope.sender
        if sender not in self._roster:
            self._introductions.unknown(sender, source, message)
        key = self._roster.key(sender)
        if key is None or not envelope.proven_by(key, self._core.verifier):
            return
        self._membership.heard(sender, source)
        self._introductions.answered(source)
        self._receivers[type(message)](sender, source, message, envelope.data)

    def _on_ping(self, sender: NodeId, source: Endpoint, ping: messages.Ping, _: bytes) -> None:
        mine = self._membership
        peer = mine.lives(sender, ping.incarnation, ping.refutations)
        if peer is None or not (self._running or self._reports.left):
            return
        peer.source = source
        ack = messages.Ack(ping.token, self._store.summary, mine.incarnation, mine.refutations)
        self._core.send(sender, source, ack)
        if peer.state in (DEAD, SUSPECT):
            mine.inform(peer, source)
        self._gossip.compare(sender, source, ping.summary)

    def _on_ack(self, sender: NodeId, source: Endpoint, ack: messages.Ack, data: bytes) -> None:
        peer = self._membership.lives(sender, ack.incarnation, ack.refutations)
        if peer is None or self._prober.relay(sender, ack, data):
            return
        self._prober.acked(sender, source, ack.token)
        if peer.state in (DEAD, SUSPECT):
            self._membership.inform(peer, source)
        self._gossip.compare(sender, source, ack.summary)

    def _on_relayed(self, relayed: messages.Relayed) -> None:
        """An Ack that came through another: proven by its author's own signature on the datagram."""
        envelope = open_envelope(relayed.datagram, MAX_DATAGRAM)
        ack = messages.decode(envelope.body, MAX_DATAGRAM)
        key = self._roster.key(envelope.sender)
        if key is None or envelope.pool != self._core.pool or not isinstance(ack, messages.Ack):
            return
        if ack.token == relayed.token and envelope.proven_by(key, self._core.verifier):
            self._membership.lives(envelope.sender, ack.incarnation, ack.refutations)
            self._prober.acked(envelope.sender, None, ack.token)

    def _on_hello(self, sender: NodeId, source: Endpoint, hello: messages.Hello, _: bytes) -> None:
        self._intake.absorb_all(hello.chain)
        if hello.answer:
            self._introductions.introduce(sender, source, answer=False)
        self._gossip.compare(sender, source, hello.summary, eager=True)

    def _on_bodies(self, bodies: messages.Bodies) -> None:
        self._intake.absorb_all(bodies.facts)
        self._gossip.received()

    def _on_lease_request(
        self, sender: NodeId, source: Endpoint, request: messages.LeaseRequest, _: bytes
    ) -> None:
        if self._running and Rights.WORK in self._roster.rights(self._core.id):
            answer = self._arbiter.request(sender, request)
            if answer is not None:
                self._core.send(sender, source, answer)

    # --- facts

    def _new(self, signed: Signed[Any]) -> None:
        """A fact changed the store: let those who care know, and spread it."""
        fact = signed.fact
        if isinstance(fact, Voucher):
            self._roster.add(signed)
            self._core.members_changed = True
            self._core.schedule_by(_VOUCHERS, b"", self._core.now + 1.0)
        elif isinstance(fact, Record):
            self._membership.recorded(fact)
        elif isinstance(fact, Liveness):
            self._membership.lives(fact.author, fact.incarnation, fact.refutations)
        elif isinstance(fact, Accusation):
            self._membership.accused(fact)
        elif isinstance(fact, Claim):
            self._election.claimed(fact)
        elif isinstance(fact, Resignation):
            self._election.resigned(fact)
        elif isinstance(fact, Deployment):
            self._deployed(signed)
        elif isinstance(fact, PoolState):
            leader = self.leader()
            if leader is not None and (leader.author, leader.term) == (fact.author, fact.term):
                self._core.tell(StateChanged(fact))
        self._gossip.spread(signed)

    def _deployed(self, signed: Signed[Any]) -> None:
        if self.deployment() == signed.fact:
            self._core.persist("deployment", signed.data)
            self._core.tell(DeploymentChanged(signed.fact))

    # --- the frame of every input

    def _begin(self, now: float) -> None:
        self._core.now = max(self._core.now, now)
        self._core.effects = []

    def _end(self) -> list[Effect]:
        """What follows from what changed, and all effects of this input in their order."""
        if self._running:
            self._election.review()
        leader = self.leader()
        self._arbiter.review()
        if leader != self._told_leader:
            self._told_leader = leader
            self._tenancies.review()
            self._core.tell(LeaderChanged(leader))
        if self._core.members_changed:
            self._core.members_changed = False
            self._core.tell(MembersChanged())
        return self._core.effects

    def _stall(self, now: float) -> None:
        if now - self._stalled_at > self._core.settings.stall:
            self._stalled_at = now
            self._core.notice("warning", "this process was paused for a while")
            self._membership.stalled()
            self._prober.abandon()
            self._election.stalled()

    def _form(self, pool: PoolId) -> None:
        self._core.pool = self._roster.pool = pool

    # --- what is kept

    def _persist_vouchers(self) -> None:
        self._core.persist(_VOUCHERS, codec.pack([self._core.pool, self._roster.vouchers()]))

    def _restore(self) -> None:
        """Take up the pool, the term and the acts of a former run. What this tells is told by ``start``."""
        stored = self._stored.get(_VOUCHERS)
        if stored is None:
            return
        try:
            pool, vouchers = codec.unpack(stored, _MAX_STORED)
        except (DecodeError, ValueError):
            raise MeshError(
                "The stored vouchers are damaged", "`mesh leave --purge`, then join anew"
            ) from None
        self._form(PoolId(pool))
        self._intake.absorb_all(vouchers)
        self._owner.restore(self._stored.get("act"))
        self._election.highest = self._integer("term")
        self._gossip.hush()
        self._core.cancel(_VOUCHERS, b"")

    def _integer(self, key: str) -> int:
        stored = self._stored.get(key)
        if stored is None:
            return 0
        try:
            value: int = codec.paired(codec.UINT).load(codec.unpack(stored, 16))[0]
        except DecodeError:
            raise MeshError(f"The stored {key} is damaged", "`mesh leave --purge`, then join anew") from None
        return value

    def _give_up_former_claim(self) -> None:
        """A claim of a former run of this process is led by nobody now: say so."""
        term = self._integer("claimed")
        if term:
            self._intake.publish(Resignation(self._core.pool, self._core.id, term, NodeId(bytes(16))))
            self._core.persist("claimed", codec.pack([0]))

"""A stage for one real Node: the test plays all other members and sees what the Node does."""

from __future__ import annotations

import heapq
import random
from dataclasses import replace
from typing import Any, TypeVar

from mesh.protocol.base.effects import Effect, Event, Persist, ProbeStream, Send, SendStream, SetTimer, Tell
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number, open_envelope, seal
from mesh.wire.facts import Claim, Fact, Record, Resignation, Suspicion
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.messages import Ack, Bodies, Message, Ping
from mesh.wire.profile import Model, OfferedDevice, Profile
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import sign
from mesh.wire.versions import SPOKEN, Versions, marked
from simulations.signing import KeyedHash, verify

M = TypeVar("M")
OWN_ADDRESS = Endpoint("10.0.0.1", 50052)


def grown(profile: Profile) -> Profile:
    """The profile of a machine with so much to say that its record exceeds a datagram."""
    models = tuple(Model("m" * 90, size, bytes([size]) * 32) for size in range(8))
    devices = tuple(OfferedDevice("cuda", f"device {number}", 2**36, 2**36, 1e12) for number in range(8))
    return replace(profile, models=models, devices=devices, engine_reason="r" * 120)


class Actor:
    """A member whose part the test plays."""

    def __init__(self, stage: Stage, number: int, rank: int, speaks: Versions = SPOKEN) -> None:
        self.speaks = speaks
        self.signer = KeyedHash(number)
        self.id: NodeId = self.signer.id
        self.address = Endpoint(f"10.0.1.{number % 250}", 50052)
        self.rank = rank
        self.generation = 1
        self.incarnation = 0
        self.answers = True
        self.sent = 0
        self._stage = stage

    def meets(self, stage: Stage) -> None:
        """The Node starts again: the actor is still there, and introduces itself."""
        self._stage = stage
        stage.actors[self.address] = self
        self.tells(self.record())

    def sign(self, fact: Fact) -> bytes:
        return sign(fact, self.signer, self.speaks.newest).data

    def record(self, sequence: int = 1, left: bool = False, nonce: bytes = b"") -> bytes:
        profile = Profile(name="actor", addresses=(self.address,), rank=self.rank)
        nonce = nonce or marked(bytes(8), self.speaks)
        return self.sign(Record(self._stage.pool, self.id, self.generation, nonce, sequence, left, profile))

    def claim(self, term: int, rank: int | None = None) -> bytes:
        return self.sign(Claim(self._stage.pool, self.id, term, self.rank if rank is None else rank))

    def resignation(self, term: int, successor: NodeId | None = None) -> bytes:
        heir = successor if successor is not None else NodeId(bytes(16))
        return self.sign(Resignation(self._stage.pool, self.id, term, heir))

    def suspicion(self, subject: NodeId, generation: int = 1, incarnation: int = 0) -> bytes:
        return self.sign(Suspicion(self._stage.pool, self.id, subject, generation, incarnation))

    def seal(self, message: Message) -> bytes:
        """Its next datagram."""
        self.sent += 1
        number, stage = first_number(self.generation) + self.sent, self._stage
        body = messages.encode(message)
        return seal(stage.pool, self.id, number, body, self.signer, stage.node.id, self.speaks)

    def says(self, message: Message) -> list[Effect]:
        """The actor sends the Node a datagram."""
        stage = self._stage
        return stage.perform(stage.node.receive(stage.now, self.address, self.seal(message)))

    def tells(self, *facts: bytes) -> list[Effect]:
        return self.says(Bodies(facts))


class Stage:
    """One founded and started Node, its clock, its disk and its effects since the last look."""

    def __init__(
        self,
        rank: int = 10,
        stored: dict[str, bytes] | None = None,
        settings: Settings | None = None,
        start: bool = True,
        signer: KeyedHash | None = None,
        chain: list[bytes] | None = None,
        speaks: Versions = SPOKEN,
    ) -> None:
        """``chain``: these vouchers admit it to a pool, instead of founding one."""
        self.now = 100.0
        self.disk: dict[str, bytes] = dict(stored or {})
        self.signer = signer or KeyedHash(1)
        self.settings = settings or Settings()
        self.profile = Profile(name="self", addresses=(OWN_ADDRESS,), rank=rank)
        self.sent: list[tuple[Endpoint, Message]] = []
        self.events: list[Event] = []
        self.stream_probes: list[ProbeStream] = []
        self.streamed: list[SendStream] = []
        self.actors: dict[Endpoint, Actor] = {}
        self._timers: list[tuple[float, int, Any]] = []
        self._order = 0
        self.speaks = speaks
        self.node = Node(self.settings, self.signer, verify, random.Random(7), self.disk, speaks)
        if chain is not None:
            self.perform(self.node.admit(self.now, chain))
        elif not stored:
            self.perform(self.node.found(self.now))
        if start:
            self.perform(self.node.start(self.now, self.profile))

    @property
    def pool(self) -> PoolId:
        pool = self.node.pool
        assert pool is not None
        return pool

    def restarted(self, after: float = 1.0, speaks: Versions | None = None) -> Stage:
        """Another run of the same Node, from the same disk, perhaps of another program."""
        stage = Stage(
            self.profile.rank,
            self.disk,
            self.settings,
            start=False,
            signer=self.signer,
            speaks=speaks or self.speaks,
        )
        stage.now = self.now + after
        stage.perform(stage.node.start(stage.now, stage.profile))
        return stage

    def member(
        self,
        number: int,
        rank: int = 1,
        rights: Rights = ALL_RIGHTS,
        known: bool = True,
        speaks: Versions = SPOKEN,
    ) -> Actor:
        """A member that the Node vouched for and, if ``known``, whose record it has."""
        actor = Actor(self, number, rank, speaks)
        self.actors[actor.address] = actor
        if not self.node.chain(actor.id):
            self.perform(self.node.vouch(self.now, actor.signer.public_key, rights))
        if known:
            actor.tells(actor.record())
        return actor

    def outsider(self, number: int) -> Actor:
        """A node that no owner vouched for."""
        actor = Actor(self, number, 1)
        self.actors[actor.address] = actor
        return actor

    def perform(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Send):
                assert len(effect.payload) <= 1200
                message = messages.decode(open_envelope(effect.payload).body)
                self.sent.append((effect.endpoint, message))
            elif isinstance(effect, SetTimer):
                self._order += 1
                heapq.heappush(self._timers, (effect.at, self._order, effect.timer))
            elif isinstance(effect, Persist):
                self.disk[effect.key] = effect.value
            elif isinstance(effect, Tell):
                self.events.append(effect.event)
            elif isinstance(effect, ProbeStream):
                self.stream_probes.append(effect)
            elif isinstance(effect, SendStream):
                self.streamed.append(effect)
        return effects

    def wait(self, seconds: float) -> None:
        """Let time pass; actors that answer pings do so at once."""
        until = self.now + seconds
        self._answer_pings(0)
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            before = len(self.sent)
            self.perform(self.node.fire(self.now, timer))
            self._answer_pings(before)
        self.now = until

    def sleep(self, seconds: float) -> None:
        """The process is paused: its timers fire late, and it answers nothing meanwhile."""
        self.now += seconds
        late, self._timers = self._timers, []
        for at, order, timer in sorted(late):
            if at <= self.now:
                self.perform(self.node.fire(self.now, timer))
            else:
                heapq.heappush(self._timers, (at, order, timer))

    def _answer_pings(self, start: int) -> None:
        for endpoint, message in self.sent[start:]:
            actor = self.actors.get(endpoint)
            if isinstance(message, Ping) and actor is not None and actor.answers and message.token:
                actor.says(Ack(message.token, bytes(8), actor.generation, actor.incarnation))

    def take(self, kind: type[M], to: Actor | None = None) -> list[M]:
        """The messages of a kind sent since the last look, which forgets them."""
        taken: list[M] = [
            m for at, m in self.sent if isinstance(m, kind) and (to is None or at == to.address)
        ]
        self.sent = [
            (at, m) for at, m in self.sent if not (isinstance(m, kind) and (to is None or at == to.address))
        ]
        return taken

    def told(self, kind: type[M]) -> list[M]:
        """The events of a kind told since the last look, which forgets them."""
        told: list[M] = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return told

    def state_of(self, actor: Actor) -> str:
        return next((m.state for m in self.node.members() if m.id == actor.id), "unknown")

    def republish(self, **changes: Any) -> None:
        self.profile = replace(self.profile, **changes)
        self.perform(self.node.publish(self.now, self.profile))


def grown_stage() -> Stage:
    """A node that has published a record which exceeds a datagram."""
    stage = Stage()
    stage.wait(1.0)
    stage.profile = grown(stage.profile)
    stage.republish()
    stage.wait(1.0)
    return stage

"""A member that lies: it was let in to work, answers probes, and says whatever it likes of anything else."""

import os
from collections.abc import Iterator
from typing import Any

import trio

from mesh.admission.handshake import AdmissionClient, Admitted
from mesh.admission.invites import Token
from mesh.net.streams import Streams
from mesh.wire import messages, signed_facts
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import NOBODY, first_number, open_envelope, seal
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import (
    Claim,
    Deployment,
    Eviction,
    Fact,
    Liveness,
    PoolState,
    Record,
    Resignation,
    Suspicion,
    Voucher,
)
from mesh.wire.identity import Identity, NodeId, PoolId
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.versions import SPOKEN

PORT = 50052
ROUND_SECONDS = 0.25


async def lie(arguments: dict[str, Any]) -> dict[str, Any]:
    """Join by ``token``, and lie to all ``targets`` for some ``seconds``."""
    identity = Identity.generate()
    targets = [Endpoint.parse(target, PORT) for target in arguments["targets"]]
    client = await AdmissionClient.connect(Streams(identity), targets[0])
    admitted = await client.ask(identity, "mallory", Token.parse(arguments["token"]))
    await client.aclose()
    liar = Liar(identity, admitted, targets)
    with trio.move_on_after(arguments["seconds"]):
        await liar.run()
    return {"heard": len(liar.heard), "members": len(liar.livenesses), "sent": liar.sent}


class Liar:
    """What it knows of the others it has from what they say to it."""

    def __init__(self, identity: Identity, admitted: Admitted, targets: list[Endpoint]) -> None:
        self.identity = identity
        self.pool: PoolId = admitted.pool
        self.chain = admitted.chain
        self.targets = targets
        self.ids: dict[Endpoint, NodeId] = {}
        self.livenesses: dict[NodeId, tuple[int, int]] = {}
        self.claims: dict[NodeId, Claim] = {}
        self.heard: list[bytes] = []
        self.sent = 0
        self._number = first_number(1)

    async def run(self) -> None:
        self._socket = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await self._socket.bind(("0.0.0.0", PORT))
        with self._socket:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                while True:
                    await self._greet()
                    await self._lie_to_all()
                    await trio.sleep(ROUND_SECONDS)

    # --- what it must do to be listened to

    async def _greet(self) -> None:
        profile = Profile(name="mallory", addresses=(), rank=10**9)
        record = Record(self.pool, self.identity.id, 1, bytes(8), 1, False, profile)
        for target in self.targets:
            await self._send(target, messages.Hello(True, bytes(8), self.chain), NOBODY)
            await self._tell(target, record)

    async def _listen(self) -> None:
        while True:
            payload, source = await self._socket.recvfrom(2048)
            try:
                envelope = open_envelope(payload)
                message = messages.decode(envelope.body)
            except DecodeError:
                continue
            there = Endpoint(str(source[0]), int(source[1]))
            self.ids[there] = envelope.sender
            self.heard = [*self.heard[-200:], payload]
            if isinstance(message, messages.Ping):
                await self._send(there, messages.Ack(message.token, message.summary, 1, 0), envelope.sender)
            elif isinstance(message, messages.Bodies):
                self._learn(message)

    def _learn(self, bodies: messages.Bodies) -> None:
        for data in bodies.facts:
            try:
                fact = signed_facts.decode(data).fact
            except DecodeError:
                continue
            if isinstance(fact, Record):
                known = self.livenesses.get(fact.author, (0, 0))
                self.livenesses[fact.author] = max(known, (fact.generation, 0))
            elif isinstance(fact, Liveness):
                known = self.livenesses.get(fact.author, (0, 0))
                self.livenesses[fact.author] = max(known, (fact.generation, fact.incarnation))
            elif isinstance(fact, Claim):
                self.claims[fact.author] = fact

    # --- lies

    async def _lie_to_all(self) -> None:
        for target in self.targets:
            for fact in list(self._lies()):
                await self._tell(target, fact)
            await self._send(target, messages.VoteRequest(10**6), self._id_of(target))
            # What others said to it, once more and to somebody else.
            for payload in self.heard[-20:]:
                await self._raw(target, payload)
            for noise in (
                os.urandom(1000),
                bytes([SPOKEN.oldest]) + self.pool + self.identity.id + os.urandom(300),
            ):
                await self._raw(target, noise)

    def _lies(self) -> Iterator[Fact]:
        pool, me = self.pool, self.identity.id
        model, zero = Model("evil.gguf", 1 << 30, bytes(32)), bytes(16)
        term = 1 + max((claim.term for claim in self.claims.values()), default=1)
        for author in (me, *self.livenesses):
            # By its own name it has no right to these, and others' names it cannot sign for.
            yield Voucher(pool, author, 2, zero, self.identity.public_key, ALL_RIGHTS)
            yield Claim(pool, author, term, 10**9)
            yield Deployment(pool, author, 10**6, model, 512, 1, True, ())
            yield PoolState(pool, author, term, 1, 1, "ready", 1.0, "", 1.0, ())
            for victim in self.livenesses:
                if victim != author:
                    yield Eviction(pool, author, 3, zero, victim, 0, zero)
        for victim, (generation, incarnation) in list(self.livenesses.items()):
            if victim == me:
                continue
            yield Record(pool, victim, generation, bytes(8), 10**6, True, Profile(name="gone"))
            yield Liveness(pool, victim, generation, incarnation + 100, False)
            yield Resignation(pool, victim, term, me)
            # This it may say, but it is not true.
            yield Suspicion(pool, me, victim, generation, incarnation, True)

    # --- the wire

    async def _tell(self, target: Endpoint, fact: Fact) -> None:
        signed = signed_facts.sign(fact, self.identity)
        await self._send(target, messages.Bodies((signed.data,)), self._id_of(target))

    def _id_of(self, target: Endpoint) -> NodeId:
        return self.ids.get(target, NOBODY)

    async def _send(self, target: Endpoint, message: messages.Message, to: NodeId) -> None:
        self._number += 1
        body = messages.encode(message)
        await self._raw(target, seal(self.pool, self.identity.id, self._number, body, self.identity, to))

    async def _raw(self, target: Endpoint, payload: bytes) -> None:
        self.sent += 1
        try:
            await self._socket.sendto(payload, target)
        except OSError as error:
            raise MeshError("the network is gone") from error

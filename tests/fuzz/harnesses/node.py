"""A running Node among members who sign whatever the input says: forged in content, never in form."""

from dataclasses import replace
from typing import Any

from mesh.protocol.base.effects import Effect, Send
from mesh.wire import facts, messages, signed_facts
from mesh.wire.envelope import first_number, seal
from mesh.wire.facts import Eviction, Fact, Voucher
from mesh.wire.identity import Signer
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED, Bodies, Hello, Message
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import sign
from simulations.signing import KeyedHash, verify
from tests.fuzz.harness import Harness
from tests.fuzz.tape import swollen
from tests.mesh.protocol.stage import Actor, Stage
from tests.mesh.wire.test_messages import MESSAGES
from tests.mesh.wire.test_signed_facts import FACTS, GROWN_FACTS

MAX_STEPS = 24
MAX_SECONDS = 20.0
SWELLING = 132
"""How often a part of a stream's message may come, for each step of 2 KiB that its length goes beyond."""

MOST_ANSWERS = 64
"""Datagrams that one datagram may bring about: a pool of five, and streams of facts in pieces."""

_DOMAIN = b"mesh fact 1\0"
RAW, SEALED, FACT, WAIT, STREAM, HELLO, RESET = range(7)


class Play:
    """One Node and its company: two owners, a worker, a member that is evicted, and a stranger."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.actors: list[Actor] = [
            self.stage.member(2, rank=20),
            self.stage.member(3),
            self.stage.member(4, rights=Rights.WORK),
            self.stage.member(5),
        ]
        self.stage.perform(self.stage.node.evict(self.stage.now, self.actors[3].id))
        self.actors.append(self.stage.outsider(6))
        self._until = self.stage.now + MAX_SECONDS
        self._room = MAX_STREAMED

    def step(self, actor: Actor, what: int, payload: bytes, times: int = 1) -> None:
        """One input of the Node's; ``times``: how often a part of what a stream brings comes."""
        stage = self.stage
        if what == RAW:
            self._receive(actor, payload[:MAX_DATAGRAM])
        elif what == SEALED:
            self._receive(actor, self._sealed(actor, payload))
        elif what == FACT:
            self._receive(
                actor, self._sealed(actor, messages.encode(Bodies((signed(actor.signer, payload),))))
            )
        elif what == WAIT:
            seconds = int.from_bytes(payload[:2], "big") / 1000.0
            stage.wait(max(0.0, min(seconds, self._until - stage.now)))
        elif what == STREAM:
            self._stream(actor, payload, times)
        elif what == HELLO:
            chain = [*stage.node.chain(stage.node.id), signed(actor.signer, payload)]
            self._receive(
                actor, self._sealed(actor, messages.encode(Hello(True, bytes(8), tuple(chain[:8]))))
            )
        else:
            stage.perform(stage.node.connection_reset(stage.now, actor.id))

    def _sealed(self, actor: Actor, body: bytes) -> bytes:
        actor.sent += 1
        number = first_number(actor.generation) + actor.sent
        return seal(self.stage.pool, actor.id, number, body, actor.signer, self.stage.node.id)[:MAX_DATAGRAM]

    def _stream(self, actor: Actor, payload: bytes, times: int) -> None:
        """As large as a message may be, but all that swell together no larger: an input has its price."""
        if times > 1 and self._room > len(payload):
            payload = swollen(payload, times, self._room)
            self._room -= len(payload)
        self._perform(self.stage.node.receive_stream(self.stage.now, actor.id, payload))

    def _receive(self, actor: Actor, payload: bytes) -> None:
        effects = self.stage.node.receive(self.stage.now, actor.address, payload)
        assert sum(isinstance(effect, Send) for effect in effects) <= MOST_ANSWERS
        self._perform(effects)

    def _perform(self, effects: list[Effect]) -> None:
        self.stage.perform(effects)

    def check(self) -> None:
        """Whatever was said: what is stored was said by members, and the Node still works."""
        node = self.stage.node
        keys = node.keys()
        for held in node.inspect().facts():
            assert held.proven_by(keys[held.fact.author], verify)
            assert signed_facts.decode(held.data) == held
        assert self.actors[4].id not in keys or not node.is_evicted(self.actors[4].id)
        assert self.actors[3].id not in keys
        for member in node.members():
            assert len(node.chain(member.id)) <= 9
        node.leader(), node.holder(self.stage.now), node.leases(self.stage.now)
        assert len(list(node.inspect().facts())) < 500


def signed(signer: Signer, body: bytes) -> bytes:
    """A fact that is signed, whatever it says."""
    return body + signer.sign(_DOMAIN + body)


def node(data: bytes) -> None:
    """Steps: a byte for what happens (high half) and who does it (low), a length of two bytes, a payload.

    What a length has beyond 2 KiB makes a stream's payload swell.
    """
    play, at = Play(), 0
    for _ in range(MAX_STEPS):
        head, payload = data[at : at + 3], b""
        if len(head) < 3:
            break
        beyond, length = divmod(int.from_bytes(head[1:], "big"), 2048)
        payload = data[at + 3 : at + 3 + length]
        at += 3 + length
        actor = play.actors[(head[0] & 15) % len(play.actors)]
        play.step(actor, (head[0] >> 4) % 7, payload, 1 + SWELLING * beyond)
    play.check()


# --- what members really say


def step(what: int, who: int, payload: bytes, beyond: int = 0) -> bytes:
    """One step as ``node`` reads it."""
    return bytes([what << 4 | who]) + (len(payload) + 2048 * beyond).to_bytes(2, "big") + payload


def _corpus() -> list[bytes]:
    play = Play()
    said = [moved(play, each, who) for each in (*FACTS, *GROWN_FACTS) for who in (0, 2)]
    steps = [step(FACT, number % 2 * 2, fact) for number, fact in enumerate(said)]
    steps += [step(SEALED, 0, messages.encode(_meant(play, each))) for each in MESSAGES]
    steps += [step(HELLO, 4, fact) for fact in said[:2]]
    steps += [step(WAIT, 0, seconds.to_bytes(2, "big")) for seconds in (200, 2000, 12000)]
    steps += [step(STREAM, 1, messages.encode(Bodies(tuple(fact + bytes(64) for fact in said[:4]))))]
    proven = messages.encode(Bodies((play.actors[0].record(2), play.actors[0].claim(3))))
    steps += [step(STREAM, 0, proven, 31), step(STREAM, 0, b"\x92\x09\xdc\xff\xff\xc4\x00", 31)]
    steps += [step(RESET, 1, b""), step(RAW, 4, b"\1" + bytes(120))]
    pause = step(WAIT, 0, (700).to_bytes(2, "big"))
    stories = [b"".join(steps[at : at + 4]) + pause + steps[at - 1] for at in range(0, len(steps), 4)]
    return [*steps, *stories]


def moved(play: Play, fact: Fact, who: int) -> bytes:
    """The body of an example of a fact, said in this pool by one of its members."""
    actor, stage = play.actors[who], play.stage
    moved: Any = replace(fact, pool=stage.pool, author=actor.id)
    if isinstance(moved, Voucher):
        moved = replace(moved, key=KeyedHash(6).public_key, rights=ALL_RIGHTS)
    elif isinstance(moved, Eviction):
        moved = replace(moved, subject=play.actors[1].id, last=0, last_hash=facts.NO_PREVIOUS, number=1)
        moved = replace(moved, previous=facts.NO_PREVIOUS)
    elif hasattr(moved, "subject"):
        moved = replace(moved, subject=play.actors[1].id, generation=1)
    return sign(moved, actor.signer).data[:-64]


def _meant(play: Play, message: Message) -> Message:
    """An example of a message, as the Node that it is sent to understands it."""
    claim = play.actors[0].claim(1)
    if isinstance(message, messages.LeaseRequest | messages.LeaseRelease):
        message = replace(message, worker=play.stage.node.id)
    if isinstance(message, messages.LeaseRequest | messages.Vote | messages.LeaseRefusal):
        message = replace(message, claim=claim)
    if isinstance(message, messages.Hello):
        message = replace(message, chain=tuple(play.stage.node.chain(play.actors[0].id)))
    return message


HARNESSES = (
    Harness(
        "node", "mesh.protocol.node.node, whole", lambda: node, _corpus, 4096, milliseconds=2000.0, mib=48
    ),
)

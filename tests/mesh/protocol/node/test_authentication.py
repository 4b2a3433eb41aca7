"""A Node decodes what is of its pool, new, and within the sender's rate; and believes what is proven."""

import random

import pytest

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.effects import MembersChanged, Send
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number, seal
from mesh.wire.facts import NO_PREVIOUS, Eviction, Liveness, Record
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.messages import Ack, Bodies, Hello, Message, Ping, encode
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.versions import CLOSED, SPOKEN, Versions, marked
from simulations.signing import KeyedHash, verify
from tests.mesh.protocol.stage import Actor, Stage

ELSEWHERE = Endpoint("10.6.6.6", 50052)
PING = Ping(7, bytes(8), 1, 0)


def _sealed(
    actor: Actor, pool: PoolId, to: NodeId | None, message: Message = PING, signer: KeyedHash | None = None
) -> bytes:
    """A datagram of the actor's first run that it did not send itself."""
    number = first_number(1) + 11
    used = signer or actor.signer
    if to is None:
        return seal(pool, actor.id, number, encode(message), used)
    return seal(pool, actor.id, number, encode(message), used, to)


def _receive(stage: Stage, payload: bytes) -> None:
    stage.perform(stage.node.receive(stage.now, ELSEWHERE, payload))


def _drops(stage: Stage) -> dict[str, int]:
    return dict(stage.node.drops.counts)


def test_a_datagram_of_another_pool_is_foreign() -> None:
    stage = Stage()
    actor = stage.member(2)
    _receive(stage, _sealed(actor, PoolId(b"x" * 16), stage.node.id))
    assert _drops(stage) == {"foreign": 1}
    assert stage.take(Ack) == []


def test_to_a_node_without_a_pool_every_datagram_is_foreign() -> None:
    node = Node(Settings(), KeyedHash(1), verify, random.Random(1), {})
    payload = seal(PoolId(bytes(16)), KeyedHash(2).id, first_number(1), encode(PING), KeyedHash(2))
    assert node.receive(0.0, ELSEWHERE, payload) == []
    assert node.drops.counts == {"foreign": 1}


def test_an_own_datagram_that_comes_back_is_dropped_and_not_counted() -> None:
    stage = Stage()
    actor = stage.member(2)
    own = next(
        effect.payload
        for effect in stage.node.receive(stage.now, actor.address, actor.seal(PING))
        if isinstance(effect, Send)
    )
    stage.sent.clear()
    _receive(stage, own)
    assert (stage.sent, _drops(stage)) == ([], {})


def test_an_expelled_node_hears_nobody_and_counts_nothing() -> None:
    founded = Stage()
    newcomer = founded.member(2)
    stage = Stage(signer=newcomer.signer, chain=founded.node.chain(newcomer.id))
    founder = Actor(stage, 1, rank=1)
    founder.tells(founder.record())
    eviction = Eviction(stage.pool, founder.id, 2, NO_PREVIOUS, stage.node.id, 0, NO_PREVIOUS)
    founder.tells(founder.sign(eviction))
    stage.sent.clear()
    founder.says(PING)
    assert (stage.sent, _drops(stage)) == ([], {})


def test_a_replay_is_counted_and_gets_no_second_answer() -> None:
    stage = Stage()
    actor = stage.member(2)
    captured = actor.seal(PING)
    for _ in range(3):
        _receive(stage, captured)
    assert len(stage.take(Ack)) == 1
    assert _drops(stage) == {"replayed": 2}


def test_a_host_that_sends_faster_than_its_rate_floods() -> None:
    stage = Stage()
    actor = stage.member(2)
    forged = _sealed(actor, stage.pool, stage.node.id, signer=KeyedHash(66))
    for _ in range(500):
        _receive(stage, forged)
    assert _drops(stage) == {"forged": 400, "flood": 100}
    stage.now += 1.0
    _receive(stage, forged)
    assert _drops(stage)["forged"] == 401


def test_what_no_member_sent_is_a_strangers_and_gets_no_answer() -> None:
    stage = Stage()
    stage.outsider(9).says(PING)
    assert _drops(stage) == {"stranger": 1}
    assert stage.take(Ack) == []


def test_a_stranger_that_carries_its_vouchers_is_a_member_at_once() -> None:
    stage = Stage()
    owner = Stage(stored=stage.disk, start=False)
    newcomer = stage.outsider(3)
    owner.perform(owner.node.vouch(owner.now, newcomer.signer.public_key, ALL_RIGHTS))
    newcomer.says(Hello(False, bytes(8), tuple(owner.node.chain(newcomer.id))))
    assert stage.node.chain(newcomer.id)
    assert _drops(stage) == {}


def test_another_keys_signature_proves_nothing_and_does_not_move_the_member() -> None:
    stage = Stage()
    actor = stage.member(2)
    _receive(stage, _sealed(actor, stage.pool, stage.node.id, signer=KeyedHash(3)))
    assert _drops(stage) == {"forged": 1}
    (member,) = [member for member in stage.node.members() if member.id == actor.id]
    assert member.endpoint == actor.address


@pytest.mark.parametrize("message", [Hello(True, bytes(8), ()), Bodies(())], ids=["hello", "bodies"])
def test_what_is_for_anybody_needs_no_addressee(message: Message) -> None:
    stage = Stage()
    actor = stage.member(2)
    _receive(stage, _sealed(actor, stage.pool, None, message))
    assert _drops(stage) == {}
    (member,) = [member for member in stage.node.members() if member.id == actor.id]
    assert member.endpoint == ELSEWHERE


def test_what_was_said_to_another_member_proves_nothing_here() -> None:
    stage = Stage()
    actor, other = stage.member(2), stage.member(3)
    body = encode(PING)
    captured = seal(stage.pool, actor.id, first_number(1) + 11, body, actor.signer, other.id)
    unaddressed = seal(stage.pool, actor.id, first_number(1) + 12, body, actor.signer)
    for payload in (captured, unaddressed):
        stage.perform(stage.node.receive(stage.now, ELSEWHERE, payload))
    assert stage.take(Ack) == []
    assert stage.node.drops.counts == {"forged": 2}
    (member,) = [member for member in stage.node.members() if member.id == actor.id]
    assert member.endpoint == actor.address


def test_after_a_rollback_a_member_gets_its_newer_record_once_a_second() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.generation = 5
    newest = actor.record()
    actor.tells(newest)
    actor.generation = 3
    stage.sent.clear()
    for _ in range(20):
        actor.says(PING)
    assert [body.facts for body in stage.take(Bodies, actor)] == [(newest,)]
    stage.now += 1.0
    actor.says(PING)
    assert len(stage.take(Bodies, actor)) == 1


def test_a_member_rolled_back_is_shown_its_liveness_where_its_record_is_unknown() -> None:
    stage = Stage()
    actor, volunteer = stage.member(2, known=False), stage.member(3)
    newer = actor.sign(Liveness(stage.pool, actor.id, 5, 2))
    volunteer.tells(newer)
    stage.sent.clear()
    actor.says(PING)
    assert [body.facts for body in stage.take(Bodies, actor)] == [(newer,)]


def test_a_member_rolled_back_to_version_2_is_shown_its_liveness_before_the_rest() -> None:
    """Of facts that come together, version 2 reads none after the first that it cannot read."""
    stage = Stage()
    actor = stage.member(2)
    actor.generation = 5
    newer = actor.sign(Liveness(stage.pool, actor.id, 5, 2))
    profile = Profile(name="actor", addresses=(actor.address,), build="0.3.0")
    record = actor.sign(Record(stage.pool, actor.id, 5, marked(bytes(8), SPOKEN), 1, False, profile))
    actor.tells(newer, record)
    actor.generation, actor.speaks = 3, CLOSED
    stage.sent.clear()
    actor.says(PING)
    assert [body.facts for body in stage.take(Bodies, actor)] == [(newer, record)]


@pytest.mark.parametrize("sequence", [1, 2])
@pytest.mark.parametrize("nonce", [b"12345678", b"abcdefgh", b"87654321"])
def test_a_member_rolled_back_to_a_generation_that_it_had_gets_its_former_record(
    sequence: int, nonce: bytes
) -> None:
    stage = Stage()
    actor, volunteer = stage.member(2), stage.member(3)
    former = actor.record()
    for _ in range(10):
        actor.says(PING)
    actor.sent = 0  # it starts again, and counts from one
    volunteer.tells(actor.record(sequence, nonce=nonce))
    stage.sent.clear()
    actor.says(PING)
    assert former in {fact for body in stage.take(Bodies, actor) for fact in body.facts}


LATEST = Versions(4, 5)


def _understood(stage: Stage, actor: Actor) -> tuple[Versions | None, bool]:
    member = stage.node.member(actor.id)
    assert member is not None
    return member.speaks, member.is_understood


def test_a_member_is_heard_to_speak_another_version_once_its_datagram_is_proven() -> None:
    stage = Stage()
    actor = stage.member(2)
    assert _understood(stage, actor) == (SPOKEN, True)
    stage.sent.clear()
    stage.told(MembersChanged)
    actor.speaks = LATEST
    for _ in range(3):
        actor.says(PING)
    assert _understood(stage, actor) == (LATEST, False)
    assert len(stage.told(MembersChanged)) == 1
    assert stage.node.drops.counts[DropReason.VERSION] == 3
    assert stage.sent == []


def test_a_member_that_is_read_again_is_understood_again() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.speaks = LATEST
    actor.says(PING)
    actor.speaks = SPOKEN
    actor.says(PING)
    assert _understood(stage, actor) == (SPOKEN, True)
    assert len(stage.take(Ack, actor)) == 1


@pytest.mark.parametrize("how", ["forged", "to another", "replayed", "a stranger's"])
def test_nobodys_word_but_a_members_own_makes_it_speak_another_version(how: str) -> None:
    stage = Stage()
    actor, other = stage.member(2), stage.member(3)
    sender, number = actor.id, first_number(1) + 100
    signer, to = actor.signer, stage.node.id
    if how == "forged":
        signer = other.signer
    elif how == "to another":
        to = other.id
    elif how == "replayed":
        number = first_number(1) + 1
    else:
        signer = KeyedHash(66)
        sender = signer.id
    datagram = seal(stage.pool, sender, number, encode(PING), signer, to, LATEST)
    stage.perform(stage.node.receive(stage.now, actor.address, datagram))
    assert _understood(stage, actor) == (SPOKEN, True)
    counted = DropReason.REPLAYED if how == "replayed" else DropReason.VERSION
    assert stage.node.drops.counts[counted] == 1


def test_a_datagram_of_another_version_costs_at_most_a_signature() -> None:
    stage = Stage()
    actor = stage.member(2)
    checked: list[bytes] = []

    def verifier(key: bytes, data: bytes, signature: bytes) -> bool:
        checked.append(key)
        return verify(key, data, signature)

    stage.node._context.verifier = verifier
    actor.speaks = LATEST
    said = actor.seal(PING)
    for _ in range(5):
        stage.node.receive(stage.now, actor.address, said)
    assert len(checked) == 1
    stranger = Actor(stage, 66, 1, LATEST)
    for _ in range(5):
        stranger.says(PING)
    assert len(checked) == 1
    for _ in range(500):
        stage.node.receive(stage.now, ELSEWHERE, actor.seal(PING))
    assert stage.node.drops.counts[DropReason.FLOOD] >= 100


def test_who_has_no_version_in_common_gets_no_answer_until_it_is_upgraded() -> None:
    """Version 3 on reads what version 2 says, but version 2 would not read the answer."""
    stage = Stage(speaks=Versions(3, 4))
    actor = stage.member(2, speaks=CLOSED)
    stage.sent.clear()
    actor.says(PING)
    assert _understood(stage, actor) == (CLOSED, False)
    assert stage.take(Ack) == []
    assert stage.node.drops.counts[DropReason.VERSION] == 1
    actor.speaks = SPOKEN
    actor.generation += 1
    actor.tells(actor.record())
    actor.says(PING)
    assert _understood(stage, actor) == (SPOKEN, True)
    assert len(stage.take(Ack, actor)) == 1

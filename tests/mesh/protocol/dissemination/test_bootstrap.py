import random

import pytest

from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import seal
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Voucher
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.messages import Ack, Bodies, Hello, Ping
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.signed_facts import decode, sign
from simulations.signing import KeyedHash, verify
from tests.mesh.protocol.stage import Actor, Stage, grown_stage

SOMEWHERE = Endpoint("10.0.7.7", 50052)


def test_a_seed_gets_a_few_hellos_with_the_chain_and_the_record() -> None:
    stage = Stage()
    stage.perform(stage.node.add_seeds(stage.now, [SOMEWHERE]))
    [hello] = stage.take(Hello)
    assert hello.answer
    assert list(hello.chain) == stage.node.chain(stage.node.id)
    assert stage.take(Bodies)
    stage.wait(4.0)
    assert 2 <= len(stage.take(Hello)) <= 4


def test_an_address_where_a_member_answers_gets_no_more_hellos() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.perform(stage.node.add_seeds(stage.now, [actor.address]))
    stage.take(Hello)
    actor.says(Ping(1, bytes(8), 1, 0))
    stage.wait(4.0)
    assert stage.take(Hello) == []


def test_a_member_that_answers_but_whose_record_was_lost_gets_more_hellos() -> None:
    stage = Stage()
    actor = stage.member(2, known=False)
    stage.perform(stage.node.add_seeds(stage.now, [actor.address]))
    stage.take(Hello)
    actor.says(Ping(1, bytes(8), 1, 0))
    stage.wait(2.0)
    assert len(stage.take(Hello)) >= 2


def test_the_own_address_gets_no_hello() -> None:
    stage = Stage()
    stage.perform(stage.node.add_seeds(stage.now, stage.profile.addresses))
    assert stage.take(Hello) == []


@pytest.mark.parametrize(("others", "seconds"), [(0, 1.0), (1, 2.0), (3, 4.0), (4, 5.0), (7, 5.0)])
def test_a_silent_address_is_greeted_more_often_the_fewer_members_are_present(
    others: int, seconds: float
) -> None:
    stage = Stage()
    stage.member(2, known=False)
    for number in range(3, 3 + others):
        stage.member(number)
    stage.perform(stage.node.add_seeds(stage.now, [SOMEWHERE]))
    stage.wait(5.0)
    stage.take(Hello)
    stage.wait(20.0)
    assert 20.0 / seconds - 1 <= len(stage.take(Hello)) <= 20.0 / seconds + 1


def _stranger(stage: Stage, number: int = 9) -> tuple[Actor, bytes]:
    """A member for which another owner vouched: the Node does not know of it."""
    stage.member(2)
    voucher = next(iter(stage.actors.values()))
    actor = Actor(stage, number, 1)
    link = voucher.sign(Voucher(stage.pool, voucher.id, 1, NO_PREVIOUS, actor.signer.public_key, ALL_RIGHTS))
    return actor, link


def test_a_silent_address_gets_hellos_again_while_a_member_is_gone() -> None:
    stage = Stage()
    actor = stage.member(2)
    silent = Endpoint("10.9.9.9", 1)
    stage.perform(stage.node.add_seeds(stage.now, [silent]))
    stage.wait(5.0)
    actor.tells(actor.record(sequence=2, left=True))
    stage.sent.clear()
    stage.wait(6.0)
    assert any(at == silent and isinstance(message, Hello) for at, message in stage.sent)


def test_a_silent_address_gets_hellos_for_a_member_vouched_for_later() -> None:
    stage = Stage()
    silent = Endpoint("10.9.9.9", 1)
    stage.perform(stage.node.add_seeds(stage.now, [silent]))
    stage.wait(60.0)
    stage.sent.clear()
    stage.member(2, known=False)
    stage.wait(6.0)
    assert any(at == silent and isinstance(message, Hello) for at, message in stage.sent)


def test_a_stranger_with_a_valid_chain_is_a_member_and_gets_an_answer() -> None:
    stage = Stage()
    actor, link = _stranger(stage)
    actor.says(Hello(True, bytes(8), (link,)))
    assert stage.node.keys()[actor.id] == actor.signer.public_key
    assert len(stage.take(Hello, actor)) == 1
    actor.says(Ping(5, bytes(8), 1, 0))
    assert [ack.token for ack in stage.take(Ack, actor)] == [5]


def test_a_stranger_without_a_chain_is_asked_once_for_it_and_not_believed() -> None:
    stage = Stage()
    actor = Actor(stage, 9, 1)
    for token in range(5):
        actor.says(Ping(token, bytes(8), 1, 0))
    assert stage.take(Ack) == []
    assert len(stage.take(Hello, actor)) == 1


def test_many_strangers_get_few_answers() -> None:
    stage = Stage()
    for number in range(100, 300):
        Actor(stage, number, 1).says(Ping(1, bytes(8), 1, 0))
    assert len(stage.take(Hello)) <= 16


def test_a_borrowed_chain_does_not_let_a_stranger_speak_for_its_owner() -> None:
    stage = Stage()
    actor, link = _stranger(stage)
    thief = KeyedHash(666)
    body = messages.encode(Hello(True, bytes(8), (link,)))
    stage.perform(stage.node.receive(stage.now, SOMEWHERE, seal(stage.pool, actor.id, 1, body, thief)))
    assert stage.take(Hello) == []


def test_another_pools_datagram_is_dropped() -> None:
    stage = Stage()
    actor = stage.member(2)
    body = messages.encode(Ping(1, bytes(8), 1, 0))
    foreign = seal(PoolId(b"x" * 16), actor.id, 1, body, actor.signer)
    assert stage.node.receive(stage.now, actor.address, foreign) == []


def _admitted(links: int) -> tuple[Node, list[bytes]]:
    """A Node at the end of a chain of that many links after the founder's."""
    signers = [KeyedHash(number) for number in range(links + 1)]
    nodes = [Node(Settings(), signer, verify, random.Random(1), {}) for signer in signers]
    nodes[0].found(0.0)
    for above, node, signer in zip(nodes, nodes[1:], signers[1:], strict=False):
        above.vouch(0.0, signer.public_key, ALL_RIGHTS)
        node.admit(0.0, above.chain(node.id))
    return nodes[-1], nodes[-1].chain(nodes[-1].id)


@pytest.mark.parametrize("links", [1, 4, 8])
def test_a_chain_of_any_allowed_length_is_introduced_in_datagrams(links: int) -> None:
    node, chain = _admitted(links)
    node.start(0.0, Profile(name="far"))
    seen: list[bytes] = []
    for effect in node.add_seeds(0.0, [SOMEWHERE]):
        payload = getattr(effect, "payload", None)
        if payload is not None:
            assert len(payload) <= 1200
            message = messages.decode(payload[41:-64])
            seen += message.chain if isinstance(message, Hello) else ()
            seen += message.facts if isinstance(message, Bodies) else ()
    assert seen[: len(chain)] == chain


def test_an_admission_that_leads_to_another_is_refused() -> None:
    _, chain = _admitted(2)
    node = Node(Settings(), KeyedHash(77), verify, random.Random(1), {})
    with pytest.raises(MeshError, match="does not lead"):
        node.admit(0.0, chain)
    assert node.pool is None
    with pytest.raises(MeshError, match="no voucher"):
        node.admit(0.0, [])


def test_a_forged_admission_is_refused() -> None:
    _, chain = _admitted(1)
    forger = KeyedHash(77)
    fact = decode(chain[0]).fact
    forged = sign(Voucher(fact.pool, fact.author, 2, NO_PREVIOUS, forger.public_key, ALL_RIGHTS), forger)
    node = Node(Settings(), forger, verify, random.Random(1), {})
    with pytest.raises(MeshError, match="does not lead"):
        node.admit(0.0, [chain[0], forged.data])


def _records(stage: Stage) -> list[tuple[NodeId, Endpoint]]:
    """To whom and where its own record went by stream since the last look."""
    went, stage.streamed = stage.streamed, []
    own = stage.node.member(stage.node.id)
    assert own is not None
    decoded = [(effect, messages.decode(effect.payload)) for effect in went]
    return [
        (effect.to, effect.endpoint)
        for effect, body in decoded
        if isinstance(body, Bodies) and [decode(data).fact for data in body.facts] == [own.record]
    ]


def test_a_record_too_large_for_a_datagram_follows_once_it_is_clear_to_whom() -> None:
    stage = grown_stage()
    actor = stage.member(2, known=False)
    stage.perform(stage.node.add_seeds(stage.now, [actor.address]))
    assert len(stage.take(Hello)) == 1
    assert _records(stage) == []
    actor.says(Hello(False, bytes(8), ()))
    assert _records(stage) == [(actor.id, actor.address)]


def test_who_says_hello_gets_a_record_too_large_for_a_datagram_where_it_spoke_from() -> None:
    stage = grown_stage()
    actor = stage.member(2, known=False)
    actor.says(Hello(True, bytes(8), ()))
    assert len(stage.take(Hello, actor)) == 1
    assert _records(stage) == [(actor.id, actor.address)]


def test_a_record_that_went_with_the_hello_does_not_go_again() -> None:
    stage = Stage()
    actor = stage.member(2, known=False)
    stage.take(Bodies)
    actor.says(Hello(False, bytes(8), ()))
    assert stage.take(Bodies, actor) == []

from mesh.protocol.limits.rate_limits import RateLimits
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number, seal
from mesh.wire.messages import Ack, Bodies, Ping
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Actor, Stage


def test_a_flood_from_one_host_leaves_others_their_share() -> None:
    rate_limits = RateLimits()
    allowed = sum(
        rate_limits.allow(10.0, Endpoint("10.6.6.6", 1 + number % 5000)) for number in range(10_000)
    )
    assert allowed == 400
    assert rate_limits.allow(10.0, Endpoint("10.0.0.2", 1))


def test_a_flood_in_a_members_name_from_another_port_does_not_touch_the_member() -> None:
    rate_limits = RateLimits()
    member = Endpoint("10.0.0.2", 50052)
    rate_limits.proven(0.0, member)
    for number in range(10_000):
        rate_limits.allow(10.0, Endpoint("10.0.0.2", 1 + number % 50000))
    assert all(rate_limits.allow(10.0, member) for _ in range(1000))


def test_forged_hosts_together_have_no_more_than_strangers_have() -> None:
    rate_limits = RateLimits()
    rate_limits.allow(10.0, Endpoint("10.9.9.9", 1))
    forged = [Endpoint(f"10.{a}.{b}.1", 1) for a in range(100) for b in range(100)]
    assert sum(rate_limits.allow(10.0, source) for source in forged) < 1000


def test_a_budget_fills_again_with_time() -> None:
    rate_limits = RateLimits()
    source = Endpoint("10.6.6.6", 1)
    assert sum(rate_limits.allow(0.0, source) for _ in range(1000)) == 400
    assert sum(rate_limits.allow(1.0, source) for _ in range(1000)) == 100


def test_what_costs_more_than_a_budget_holds_is_paid_for_afterwards() -> None:
    rate_limits = RateLimits()
    member = Endpoint("10.0.0.2", 50052)
    rate_limits.proven(0.0, member)
    assert rate_limits.allow(0.0, member, 5000)
    assert not rate_limits.allow(0.9, member)
    assert rate_limits.allow(1.1, member)


def test_facts_cost_their_source_as_much_as_datagrams_over_streams_too() -> None:
    stage = Stage()
    actor = stage.member(2)
    other = stage.member(3)

    def said(author: Actor, number: int) -> bytes:
        return messages.encode(Bodies(tuple(author.record(1000 * number + n) for n in range(1000))))

    for number in range(1, 10):
        stage.perform(stage.node.receive_stream(stage.now, actor.id, said(actor, number)))
    record = next(member.record for member in stage.node.members() if member.id == actor.id)
    assert record is not None
    assert record.sequence < 5000
    stage.perform(stage.node.receive_stream(stage.now, other.id, said(other, 1)))
    record = next(member.record for member in stage.node.members() if member.id == other.id)
    assert record is not None
    assert record.sequence == 1999


def test_an_address_is_known_once_a_member_has_proven_to_speak_from_it() -> None:
    stage = Stage()
    actor = stage.member(2, known=False)
    assert not stage.node.knows(actor.address)
    actor.says(Ping(7, bytes(8), 1, 0))
    assert stage.node.knows(actor.address)


def test_a_node_under_a_flood_still_answers_its_members_and_verifies_little() -> None:
    stage = Stage()
    actor = stage.member(2)
    forger = KeyedHash(66)
    verified = 0
    genuine = stage.node._parts.context.verifier

    def counting(key: bytes, message: bytes, signature: bytes) -> bool:
        nonlocal verified
        verified += 1
        return genuine(key, message, signature)

    stage.node._parts.context.verifier = counting
    forged = seal(stage.pool, actor.id, first_number(1), messages.encode(Ping(1, bytes(8), 1, 0)), forger)
    for number in range(5000):
        stage.perform(stage.node.receive(stage.now, Endpoint("10.6.6.6", 1 + number), forged))
    assert verified <= 400
    stage.take(Ack)
    actor.says(Ping(7, bytes(8), 1, 0))
    assert [ack.token for ack in stage.take(Ack, actor)] == [7]

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.effects import Send, SetTimer, Timer
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import LONG_PAUSE, Member, Node
from mesh.wire import codec, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number, seal
from mesh.wire.errors import MeshError
from mesh.wire.facts import Liveness, Record
from mesh.wire.identity import Identity, node_id, pool_id, verify
from mesh.wire.messages import Ack, Bodies, Ping, Rumours
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.signed_facts import decode
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Actor, Stage, grown

PROFILE = Profile(name="node")


def _node(stored: dict[str, bytes] | None = None) -> Node:
    return Node(Settings(), KeyedHash(1), verify, random.Random(1), stored or {})


def test_a_node_without_a_pool_shows_nothing_and_does_not_start() -> None:
    node = _node()
    assert node.pool is None
    assert node.members() == []
    assert node.leader() is None
    assert node.deployment() is None
    assert node.pool_state() is None
    assert node.holder(0.0) is None
    with pytest.raises(MeshError, match="no pool"):
        node.start(0.0, PROFILE)


def test_the_founders_pool_is_named_by_its_key_and_it_has_all_rights() -> None:
    stage = Stage()
    assert stage.pool == pool_id(stage.signer.public_key)
    [member] = stage.node.members()
    assert member.id == stage.node.id == node_id(stage.signer.public_key)
    assert (member.state, member.rights) == ("alive", ALL_RIGHTS)


def test_a_pool_is_founded_only_once() -> None:
    stage = Stage()
    with pytest.raises(MeshError, match="already"):
        stage.node.found(stage.now)
    other = _node()
    other.found(0.0)
    another = Node(Settings(), KeyedHash(5), verify, random.Random(1), {})
    another.found(0.0)
    with pytest.raises(MeshError, match="already"):
        other.admit(0.0, another.chain(another.id))


@pytest.mark.parametrize("chain", [[], [b"nonsense"]])
def test_an_admission_without_a_founding_voucher_is_refused(chain: list[bytes]) -> None:
    with pytest.raises(MeshError, match="no voucher of a pool's founder"):
        _node().admit(0.0, chain)


def test_the_pool_and_its_members_survive_a_restart() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(2.0)
    again = stage.restarted()
    assert again.pool == stage.pool
    assert again.node.keys() == stage.node.keys()
    assert again.node.chain(actor.id) == stage.node.chain(actor.id)
    assert again.node.generation == stage.node.generation + 1


def test_damaged_state_raises_an_error() -> None:
    stage = Stage()
    for key in ("vouchers", "act", "term"):
        with pytest.raises(MeshError, match="damaged"):
            _node({**stage.disk, key: b"nonsense"})


@pytest.mark.parametrize(
    "acts",
    [
        [b"p" * 16, 5],
        [b"p" * 16, [1]],
        [b"p" * 16, [[]]],
        [b"p" * 15, []],
        [5, []],
        [[], []],
        [b"p" * 16],
        [],
    ],
)
def test_whatever_stands_in_the_place_of_the_pool_or_its_acts_is_told_as_damaged(acts: list[object]) -> None:
    with pytest.raises(MeshError, match="stored vouchers are damaged"):
        _node({"vouchers": codec.pack(acts)})


def test_an_act_that_is_none_is_refused_and_those_before_it_are_kept() -> None:
    stage = Stage()
    pool, acts = codec.unpack(stage.disk["vouchers"], 10**6)
    again = Stage(stored={**stage.disk, "vouchers": codec.pack([pool, [*acts, b"no act"]])})
    assert again.pool == stage.pool
    assert again.node.keys() == stage.node.keys()


@pytest.mark.parametrize("key", ["term", "incarnation", "claimed"])
def test_a_stored_number_that_cannot_be_counted_on_from_is_told_as_damaged(key: str) -> None:
    disk = {**Stage().disk, key: codec.pack([codec.MAX_UINT])}
    with pytest.raises(MeshError, match=f"stored {key} is damaged"):
        Stage(stored=disk)


def test_a_stale_timer_changes_nothing() -> None:
    stage = Stage()
    assert stage.node.fire(stage.now, Timer("probe", b"", 0)) == []
    assert stage.node.fire(stage.now, Timer("unheard of", b"", 1)) == []


def test_two_nodes_with_the_same_seed_and_inputs_do_the_same() -> None:
    def run() -> list[object]:
        stage = Stage()
        stage.member(2)
        stage.wait(5.0)
        return [*stage.sent, *stage.events]

    assert run() == run()


def test_leaving_says_goodbye_and_gives_everything_up() -> None:
    stage = Stage()
    stage.wait(1.0)
    actor = stage.member(2)
    stage.perform(stage.node.want_leases(stage.now, {stage.node.id}))
    stage.take(Bodies)
    stage.perform(stage.node.leave(stage.now))
    told = [decode(data).fact for body in stage.take(Bodies, actor) for data in body.facts]
    assert [type(fact).__name__ for fact in told] == ["Record", "Resignation"]
    assert told[0].left
    assert stage.node.leader() is stage.node.holder(stage.now) is None
    assert next(m.state for m in stage.node.members() if m.id == stage.node.id) == "left"
    stage.wait(20.0)
    assert stage.node.leader() is None


def test_a_large_deployment_goes_over_a_stream_and_comes_in_by_one() -> None:
    stage = Stage()
    actor = stage.member(2)
    layers = tuple((KeyedHash(number).id, number) for number in range(100))
    stage.perform(stage.node.deploy(stage.now, Model("m", 1, bytes(32)), 1, 1, True, layers))
    deployment = stage.node.deployment()
    assert deployment is not None
    body = messages.encode(Bodies((actor.sign(deployment.__class__(
        stage.pool, actor.id, 7, deployment.model, 1, 1, True, layers)),)))  # fmt: skip
    assert len(body) > 1200
    stage.perform(stage.node.receive_stream(stage.now, actor.id, body))
    present = stage.node.deployment()
    assert present is not None
    assert present.number == 7


def test_the_first_record_of_a_member_may_come_by_a_stream() -> None:
    stage = Stage()
    actor = stage.member(2, known=False)
    record = Record(stage.pool, actor.id, 1, bytes(8), 1, False, grown(Profile(addresses=(actor.address,))))
    body = messages.encode(Bodies((actor.sign(record),)))
    assert len(body) > 1200
    stage.perform(stage.node.receive_stream(stage.now, actor.id, body))
    member = stage.node.member(actor.id)
    assert member is not None
    assert (member.record, member.endpoint) == (record, actor.address)


def test_a_member_without_a_record_floods_by_streams_no_more_than_others() -> None:
    stage = Stage()
    actor = stage.member(2, known=False)
    body = messages.encode(Bodies((actor.suspicion(stage.node.id),) * 100))
    for _ in range(20):
        stage.perform(stage.node.receive_stream(stage.now, actor.id, body))
    assert stage.node.drops.counts[DropReason.FLOOD] > 10


def test_a_stream_of_nonsense_or_of_a_stranger_changes_nothing() -> None:
    stage = Stage()
    actor = stage.member(2)
    assert stage.node.receive_stream(stage.now, actor.id, b"nonsense") == []
    stranger = Actor(stage, 9, 1)
    body = messages.encode(Bodies((stranger.record(),)))
    assert stage.node.receive_stream(stage.now, stranger.id, body) == []
    assert stage.node.drops.counts[DropReason.MALFORMED] == 1


@settings(max_examples=200)
@given(st.binary(max_size=1400))
def test_no_datagram_harms_a_node(payload: bytes) -> None:
    stage = Stage()
    assert stage.node.receive(stage.now, Endpoint("10.0.0.9", 1), payload) == []


MESSAGE = st.sampled_from([
    messages.Ping(1, bytes(8), 2**62, 2**62),
    messages.Ack(1, b"x" * 8, 1, 0),
    messages.Relayed(1, b"x" * 200),
    messages.Hello(True, b"x" * 8, (b"", b"x")),
    messages.Bodies((b"", b"x" * 100)),
    messages.Buckets(()),
    messages.Contents((63, 2**40), ()),
    messages.Vote(0, True, b"x"),
    messages.LeaseRequest(KeyedHash(1).id, 1, 1, b"x", b"x"),
    messages.LeaseGrant(1, 1),
    messages.LeaseRefusal(1, 1, b"x"),
    messages.LeaseRelease(KeyedHash(1).id, 1, 1),
    messages.PingRequest(2**50, KeyedHash(1).id, Endpoint("10.0.0.9", 1)),
    messages.Nack(2**62),
    messages.Pull((bytes(8),) * 50),
])  # fmt: skip


@settings(max_examples=200)
@given(st.lists(MESSAGE, min_size=1, max_size=6))
def test_no_message_of_a_member_harms_a_node(said: list[messages.Message]) -> None:
    stage = Stage()
    stage.wait(0.5)
    actor = stage.member(2)
    for message in said:
        actor.says(message)
    stage.wait(3.0)
    assert stage.node.leader() is not None


def test_real_keys_do_as_well_as_simulated_ones() -> None:
    founder, joiner = Identity.from_seed(bytes(32)), Identity.from_seed(b"\1" * 32)
    nodes = [Node(Settings(), identity, verify, random.Random(1), {}) for identity in (founder, joiner)]
    here, there = Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 1)
    nodes[0].found(0.0)
    nodes[0].start(0.0, Profile(name="one", addresses=(here,)))
    nodes[0].vouch(0.0, joiner.public_key, ALL_RIGHTS)
    nodes[1].admit(0.0, nodes[0].chain(joiner.id))
    nodes[1].start(0.0, Profile(name="two", addresses=(there,)))
    waiting = [(1, effect) for effect in nodes[1].add_seeds(0.0, [here])]
    for _ in range(40):
        sender, effect = waiting.pop(0) if waiting else (0, SetTimer(Timer("", b"", 0), 0.0))
        if isinstance(effect, Send):
            source = (here, there)[sender]
            waiting += [(1 - sender, e) for e in nodes[1 - sender].receive(0.0, source, effect.payload)]
    assert [[m.state for m in node.members()] for node in nodes] == [["alive"] * 2] * 2


def test_a_datagram_with_a_wrong_signature_is_dropped() -> None:
    stage = Stage()
    actor = stage.member(2)
    body = messages.encode(Ping(1, bytes(8), 1, 0))
    forged = seal(stage.pool, actor.id, first_number(1), body, KeyedHash(3))
    assert stage.node.receive(stage.now, actor.address, forged) == []


def test_a_node_that_has_not_started_answers_no_ping() -> None:
    stage = Stage(start=False)
    stage.member(2, known=False).says(Ping(7, bytes(8), 1, 0))
    assert stage.take(Ack) == []


def test_dropped_rumours_are_not_told() -> None:
    stage = Stage()
    stage.member(2)
    stage.wait(5.0)
    stage.take(Rumours)
    told = []
    for drop in (False, True):
        stage.perform(stage.node.deploy(stage.now, Model("m", 1, bytes(32)), 1, 1, True))
        if drop:
            stage.node.drop_rumours()
        stage.wait(1.0)
        told.append(bool(stage.take(Rumours)))
    assert told == [True, False]


def member_of(stage: Stage, actor: Actor) -> Member:
    member = stage.node.member(actor.id)
    assert member is not None
    return member


def test_a_member_that_answers_at_once_is_never_in_doubt() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(30.0)
    assert member_of(stage, actor).doubted_at == -math.inf
    assert member_of(stage, actor).answered_at > stage.now - 2.0


def test_a_member_that_answers_late_is_in_doubt() -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(5.0)
    silent = stage.now
    actor.answers = False
    stage.wait(2.0)
    assert silent < member_of(stage, actor).doubted_at <= stage.now


@pytest.mark.parametrize("case", ["refutes", "restarts"])
def test_a_member_that_refutes_a_suspicion_or_restarts_is_in_doubt(case: str) -> None:
    stage = Stage()
    actor = stage.member(2)
    stage.wait(5.0)
    if case == "refutes":
        actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 7)))
    else:
        actor.generation = 2
        actor.tells(actor.record())
    stage.wait(1.0)
    assert member_of(stage, actor).doubted_at >= stage.now - 1.0


def test_a_long_pause_of_this_process_is_known_and_a_short_one_is_not() -> None:
    stage = Stage()
    stage.member(2)
    stage.wait(5.0)
    stage.sleep(LONG_PAUSE - 1.5)
    assert stage.node.stood_still_at == -math.inf
    stage.wait(5.0)
    stage.sleep(LONG_PAUSE + 2.0)
    assert stage.node.stood_still_at == stage.now

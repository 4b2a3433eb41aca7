import pytest

from mesh.protocol.base.effects import Expelled, GateChanged, LeaderChanged, LeasesChanged, MemberLost
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Eviction, Record, Resignation, Suspicion, Voucher
from mesh.wire.identity import NodeId
from mesh.wire.messages import Ack, Bodies, LeaseGrant, LeaseRequest, Ping
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import decode
from mesh.wire.versions import SPOKEN
from simulations.signing import KeyedHash
from simulations.world import Host, LinkFault, World
from tests.mesh.protocol.stage import Actor, Stage


def _eviction(stage: Stage, by: Actor, subject: NodeId) -> bytes:
    """An eviction that leaves none of the subject's acts valid."""
    return by.sign(Eviction(stage.pool, by.id, 1, NO_PREVIOUS, subject, 0, NO_PREVIOUS))


def _evict(stage: Stage, actor: Actor) -> None:
    stage.perform(stage.node.evict(stage.now, actor.id))


def _authors(stage: Stage) -> set[NodeId]:
    return {signed.fact.author for signed in stage.node.inspect().facts()}


def test_all_facts_of_an_evicted_member_are_dropped_and_no_later_one_is_taken() -> None:
    stage = Stage(rank=1)
    bad, good = stage.member(2, rank=50), stage.member(3)
    bad.tells(bad.claim(1))
    good.tells(good.suspicion(bad.id))
    _evict(stage, bad)
    assert bad.id not in _authors(stage)
    assert not stage.node.rights(bad.id)
    assert bad.id not in {member.id for member in stage.node.members()}
    good.tells(bad.record(sequence=9))
    good.tells(bad.claim(2), bad.resignation(2))
    good.tells(bad.suspicion(good.id), good.suspicion(bad.id))
    good.tells(bad.sign(Voucher(stage.pool, bad.id, 1, NO_PREVIOUS, b"k" * 32, ALL_RIGHTS)))
    assert bad.id not in _authors(stage)
    suspicions = [s.fact for s in stage.node.inspect().facts() if isinstance(s.fact, Suspicion)]
    assert all(suspicion.subject != bad.id for suspicion in suspicions)


def test_suspicions_of_a_forgotten_member_are_dropped_with_it() -> None:
    stage = Stage()
    bad, good = stage.member(2), stage.member(3)
    good.tells(good.suspicion(bad.id))
    stage.node._parts.membership.forget(bad.id)
    _evict(stage, bad)
    assert not [s for s in stage.node.inspect().facts() if isinstance(s.fact, Suspicion)]


def test_the_driver_learns_of_an_eviction_and_its_author() -> None:
    stage = Stage()
    bad, owner = stage.member(2), stage.member(3)
    owner.tells(_eviction(stage, owner, bad.id))
    assert stage.told(MemberLost) == [MemberLost(bad.id, "actor", owner.id, "actor")]


def test_who_learns_of_its_eviction_and_of_an_older_member_at_once_signs_nothing() -> None:
    founder = Stage()
    newcomer = KeyedHash(9)
    founder.perform(founder.node.vouch(founder.now, newcomer.public_key, ALL_RIGHTS))
    stage = Stage(signer=newcomer, chain=founder.node.chain(newcomer.id))
    owner = Actor(stage, 1, 1)
    stage.wait(2.0)
    last = founder.node.chain(newcomer.id)[-1]
    act = decode(last)
    eviction = Eviction(stage.pool, owner.id, act.fact.number + 1, act.hash, newcomer.id, 0, NO_PREVIOUS)
    owner.tells(owner.sign(eviction), owner.record())
    assert stage.told(Expelled)
    assert stage.node.inspect().form() == SPOKEN.newest
    assert newcomer.id not in {s.fact.author for s in stage.node.inspect().facts(Record)}


def test_the_driver_learns_of_a_member_whose_voucher_was_revoked() -> None:
    stage = Stage()
    bad, owner = stage.member(2), stage.member(3)
    fourth = stage.outsider(4)
    voucher = Voucher(stage.pool, bad.id, 1, NO_PREVIOUS, fourth.signer.public_key, Rights.WORK)
    bad.tells(bad.sign(voucher))
    fourth.tells(fourth.record())
    assert stage.state_of(fourth) == "alive"
    owner.tells(_eviction(stage, owner, bad.id))
    lost = {event.id: event.by for event in stage.told(MemberLost)}
    assert lost == {bad.id: owner.id, fourth.id: None}


def test_an_evicted_member_is_not_listened_to_but_shown_its_eviction_now_and_then() -> None:
    stage = Stage()
    bad = stage.member(2)
    _evict(stage, bad)
    [bodies] = stage.take(Bodies, bad)
    assert [type(decode(data).fact) for data in bodies.facts] == [Voucher, Eviction]
    for _ in range(5):
        bad.says(Ping(1, bytes(8), 1, 0))
    assert stage.take(Ack, bad) == []
    assert len(stage.take(Bodies, bad)) == 1
    stage.wait(1.5)
    bad.says(Ping(1, bytes(8), 1, 0))
    assert len(stage.take(Bodies, bad)) == 1


def test_the_gate_shuts_on_an_evicted_leader_at_once_and_another_gets_the_worker() -> None:
    stage = Stage(rank=1)
    bad, good = stage.member(2, rank=50), stage.member(3, rank=40)
    bad.says(LeaseRequest(stage.node.id, 1, bad.generation, bad.claim(7), b""))
    assert stage.node.holder(stage.now) is not None
    good.tells(_eviction(stage, good, bad.id))
    assert stage.told(GateChanged)[-1] == GateChanged(None)
    assert stage.node.holder(stage.now) is None
    assert stage.take(LeaseGrant, bad) == [LeaseGrant(1, 7)]
    bad.says(LeaseRequest(stage.node.id, 2, bad.generation, bad.claim(7), b""))
    assert stage.take(LeaseGrant, bad) == []
    good.says(LeaseRequest(stage.node.id, 1, good.generation, good.claim(8), b""))
    assert stage.take(LeaseGrant, good) == [LeaseGrant(1, 8)]


def test_a_claim_of_an_evicted_member_leads_nobody_and_only_raises_the_next_term() -> None:
    stage = Stage(rank=10)
    bad, good = stage.member(2, rank=50), stage.member(3)
    _evict(stage, bad)
    good.tells(bad.claim(40))
    assert stage.node.leader() is None
    stage.wait(5.0)
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (stage.node.id, 41)


def test_an_evicted_leader_leads_no_longer() -> None:
    stage = Stage(rank=1)
    bad = stage.member(2, rank=50)
    bad.tells(bad.claim(3))
    _evict(stage, bad)
    assert stage.told(LeaderChanged)[-1] == LeaderChanged(None)


def test_a_leader_lets_go_of_a_worker_that_was_evicted() -> None:
    stage = Stage(rank=10)
    worker = stage.member(2, rank=0)
    stage.wait(5.0)
    stage.perform(stage.node.want_leases(stage.now, [worker.id]))
    [request] = stage.take(LeaseRequest, worker)
    claim = stage.node.leader()
    assert claim is not None
    worker.says(LeaseGrant(request.number, claim.term))
    assert stage.node.leases(stage.now) == {worker.id}
    _evict(stage, worker)
    assert stage.told(LeasesChanged)[-1] == LeasesChanged(frozenset())


def _stage_of(actor: Actor, founder: Stage) -> Stage:
    """A stage for the Node of a member for which the founder vouched."""
    return Stage(signer=actor.signer, chain=founder.node.chain(actor.id))


def test_an_evicted_node_learns_it_and_takes_no_further_part() -> None:
    founder = Stage()
    actor = founder.member(2)
    node = _stage_of(actor, founder)
    node.wait(5.0)
    assert node.node.leader() is not None
    _evict(founder, actor)
    [bodies] = founder.take(Bodies, actor)
    stranger = node.outsider(9)
    stranger.tells(*bodies.facts)
    assert node.told(Expelled) == [Expelled(founder.node.id, "")]
    assert node.node.leader() is None
    node.sent.clear()
    node.wait(30.0)
    assert node.sent == []
    assert node.perform(node.node.leave(node.now)) == []


def test_an_evicted_node_does_not_start_again() -> None:
    founder = Stage()
    actor = founder.member(2)
    node = _stage_of(actor, founder)
    _evict(founder, actor)
    node.outsider(9).tells(*founder.take(Bodies, actor)[-1].facts)
    with pytest.raises(MeshError, match="evicted"):
        node.restarted()


def test_an_eviction_is_kept_over_a_restart() -> None:
    stage = Stage()
    bad = stage.member(2)
    _evict(stage, bad)
    again = stage.restarted()
    again.outsider(2).tells(bad.record())
    assert not again.node.rights(bad.id)


def test_a_leader_that_loses_the_right_to_lead_steps_down_and_stays() -> None:
    founder = Stage()
    promoter, actor = founder.member(2), founder.member(3, rights=Rights.WORK)
    key = actor.signer.public_key
    promotion = promoter.sign(Voucher(founder.pool, promoter.id, 1, NO_PREVIOUS, key, Rights.LEAD))
    node = _stage_of(actor, founder)
    source = node.outsider(9)
    source.tells(*founder.node.chain(promoter.id), promotion)
    node.wait(5.0)
    assert node.node.leader() is not None
    _evict(founder, promoter)
    evictions = [s.data for s in founder.node.inspect().facts() if isinstance(s.fact, Eviction)]
    source.tells(*evictions)
    assert node.node.leader() is None
    assert node.node.rights(actor.id) == Rights.WORK
    assert node.told(Expelled) == []
    assert any(isinstance(s.fact, Resignation) for s in node.node.inspect().facts())


def test_an_eviction_acts_before_the_other_facts_that_come_with_it() -> None:
    stage = Stage()
    bad, owner = stage.member(2, known=False), stage.member(3)
    owner.tells(bad.record(), bad.claim(1), _eviction(stage, owner, bad.id))
    assert bad.id not in _authors(stage)
    assert stage.told(MemberLost) == []


def test_what_waits_for_the_voucher_of_an_evicted_key_is_dropped() -> None:
    stage = Stage()
    owner = stage.member(3)
    stranger = stage.outsider(4)
    owner.tells(stranger.record())
    owner.tells(_eviction(stage, owner, stranger.id))
    with pytest.raises(MeshError, match="evicted"):
        stage.node.vouch(stage.now, stranger.signer.public_key, Rights.WORK)
    key = stranger.signer.public_key
    owner.tells(owner.sign(Voucher(stage.pool, owner.id, 2, NO_PREVIOUS, key, ALL_RIGHTS)))
    assert stranger.id not in _authors(stage)
    assert stage.state_of(stranger) == "unknown"


def _pool(seed: int, count: int) -> tuple[World, list[Host]]:
    world = World(seed)
    hosts = [world.add(rank=10 * (count - number)) for number in range(count)]
    world.found(hosts[0])
    for host in hosts[1:]:
        world.join(host, hosts[0])
    world.run(5.0)
    return world, hosts


def _cut(world: World, one: list[Host], other: list[Host]) -> None:
    some, rest = frozenset(h.number for h in one), frozenset(h.number for h in other)
    world.set_faults((LinkFault(some, rest, cut=True), LinkFault(rest, some, cut=True)))


def _agree(hosts: list[Host], on: list[Host]) -> bool:
    """Whether these hosts have exactly those members, and the same facts."""
    nodes = [host.node for host in hosts if host.node is not None]
    ids = {host.id for host in on}
    summaries = {node.inspect().summary() for node in nodes}
    return all(node.keys().keys() == ids for node in nodes) and len(summaries) == 1


def _evict_each_other(world: World, one: Host, other: Host) -> None:
    for by, subject in ((one, other), (other, one)):
        assert by.node is not None
        world.perform(by, by.node.evict(world.now, subject.id))


@pytest.mark.parametrize("seed", range(4))
def test_two_halves_whose_owners_evicted_each_other_agree_once_healed(seed: int) -> None:
    world, hosts = _pool(seed, 6)
    one, other = hosts[:3], hosts[3:]
    _cut(world, one, other)
    world.run(5.0)
    _evict_each_other(world, one[1], other[0])
    world.run(5.0)
    world.set_faults(())
    loser = max((one[1], other[0]), key=lambda host: host.id)
    rest = [host for host in hosts if host is not loser]
    assert world.run_until(lambda: _agree(rest, rest), limit=10.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_founder_wins_over_an_owner_in_the_other_half_that_evicted_it(seed: int) -> None:
    world, hosts = _pool(seed, 4)
    _cut(world, hosts[:2], hosts[2:])
    world.run(5.0)
    _evict_each_other(world, hosts[0], hosts[3])
    world.set_faults(())
    rest = hosts[:3]
    assert world.run_until(lambda: _agree(rest, rest), limit=10.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_goes_on_when_its_founder_that_leads_it_is_evicted(seed: int) -> None:
    world, hosts = _pool(seed, 4)
    founder, *rest = hosts
    node = rest[0].node
    assert node is not None
    claim = node.leader()
    assert claim is not None
    assert claim.author == founder.id
    world.perform(rest[0], node.evict(world.now, founder.id))

    def goes_on() -> bool:
        leaders = [host.node.leader() for host in rest if host.node is not None]
        return leaders[0] is not None and leaders[0].author != founder.id and leaders == [leaders[0]] * 3

    assert world.run_until(goes_on, limit=5.0)
    assert _agree(rest, rest)

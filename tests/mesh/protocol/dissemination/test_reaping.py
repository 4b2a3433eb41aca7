import pytest

from mesh.protocol.base.settings import Settings
from mesh.wire import messages
from mesh.wire.facts import Liveness, Record, Suspicion
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies, Hello, Ping
from simulations.world import Host, LinkFault, World
from tests.mesh.protocol.stage import Actor, Stage


def _dead(stage: Stage, number: int = 2) -> Actor:
    """A member that died an hour ago and that the Node has forgotten; a live one told of it."""
    actor = stage.member(number)
    actor.answers = False
    stage.wait(20.0)
    assert stage.state_of(actor) == "dead"
    stage.wait(3700.0)
    assert stage.state_of(actor) == "unknown"
    return actor


def _stored(stage: Stage, of: NodeId) -> set[type]:
    return {type(signed.fact) for signed in stage.node.inspect().facts() if signed.fact.author == of}


def test_a_member_that_is_dead_for_an_hour_is_forgotten_and_a_live_one_is_not() -> None:
    stage = Stage()
    alive = stage.member(3)
    _dead(stage)
    assert stage.state_of(alive) == "alive"


def test_a_member_that_left_is_forgotten_sooner() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.tells(actor.record(sequence=2, left=True))
    stage.wait(590.0)
    assert stage.state_of(actor) == "left"
    stage.wait(30.0)
    assert stage.state_of(actor) == "unknown"


def test_of_too_many_gone_members_the_longest_gone_are_forgotten_first() -> None:
    stage = Stage(settings=Settings(max_gone=2))
    actors = [stage.member(number) for number in (2, 3, 4)]
    for actor in actors:
        actor.tells(actor.record(sequence=2, left=True))
        stage.wait(1.0)
    stage.wait(20.0)
    assert [stage.state_of(actor) for actor in actors] == ["unknown", "left", "left"]


def test_facts_of_the_reaped_stay_so_that_sets_agree_and_joiners_can_prove_them() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.answers = False
    stage.wait(20.0)
    before = {signed.data for signed in stage.node.inspect().facts()}
    stage.wait(3700.0)
    assert stage.state_of(actor) == "unknown"
    assert {signed.data for signed in stage.node.inspect().facts()} == before
    assert _stored(stage, actor.id) == {Record}
    assert any(s.fact.subject == actor.id for s in stage.node.inspect().facts(Suspicion))


def test_old_facts_of_the_forgotten_that_are_replayed_do_not_bring_it_back() -> None:
    stage = Stage()
    source = stage.member(3)
    actor = stage.member(2)
    actor.generation = 5
    actor.tells(actor.record())
    actor.answers = False
    stage.wait(20.0)
    stage.wait(3700.0)
    actor.generation = 4
    source.tells(actor.record(sequence=99))
    source.tells(actor.sign(Liveness(stage.pool, actor.id, 4, 7)))
    actor.generation = 5
    source.tells(actor.record(sequence=2))  # of its last run, and late
    assert stage.state_of(actor) == "unknown"


def test_the_forgotten_that_starts_anew_is_a_member_like_before() -> None:
    stage = Stage()
    actor = _dead(stage)
    actor.generation, actor.answers = 2, True
    actor.tells(actor.record())
    assert stage.state_of(actor) == "alive"
    stage.wait(60.0)
    assert stage.state_of(actor) == "alive"


def test_a_reaped_member_that_was_cut_off_learns_of_its_accusation_and_refutes() -> None:
    stage = Stage()
    actor = _dead(stage)
    actor.answers = True
    stage.take(Bodies)
    actor.says(Ping(1, bytes(8), 1, 0))
    assert stage.state_of(actor) == "dead"
    told = [fact for bodies in stage.take(Bodies, actor) for fact in bodies.facts]
    assert any(s.data in told for s in stage.node.inspect().facts() if isinstance(s.fact, Suspicion))
    actor.incarnation = 1
    actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
    assert stage.state_of(actor) == "alive"


def test_the_address_of_a_forgotten_member_gets_a_hello_now_and_then() -> None:
    stage = Stage()
    actor = _dead(stage)
    stage.take(Hello)
    stage.wait(6.0)
    assert 5 <= len(stage.take(Hello, actor)) <= 7  # no other member is left to send one


def test_a_member_that_an_evicted_one_alone_suspected_lives_again() -> None:
    stage = Stage()
    liar, actor = stage.member(3), stage.member(2)
    liar.tells(liar.suspicion(actor.id))
    assert stage.state_of(actor) == "suspect"
    stage.perform(stage.node.evict(stage.now, liar.id))
    assert stage.state_of(actor) == "alive"


def _views(hosts: list[Host]) -> list[dict[NodeId, str]]:
    return [{m.id: m.state for m in host.node.members()} for host in hosts if host.node is not None]


def _summaries(hosts: list[Host]) -> set[bytes]:
    return {host.node.inspect().summary() for host in hosts if host.node is not None}


@pytest.mark.parametrize("seed", range(3))
def test_a_pool_forgets_its_dead_agrees_and_takes_them_back_when_they_start_anew(seed: int) -> None:
    world = World(seed, Settings(reap_dead=20.0, reap_left=10.0))
    hosts = [world.add(rank=10) for _ in range(5)]
    world.found(hosts[0])
    for host in hosts[1:]:
        world.join(host, hosts[0])
    world.run(5.0)
    *living, dead, departed = hosts
    assert dead.node is not None
    old = [s.data for s in dead.node.inspect().facts(Record) if s.fact.author == dead.id]
    world.crash(dead)
    world.leave(departed)
    world.run(60.0)
    assert _views(living) == [{host.id: "alive" for host in living}] * 3
    assert len(_summaries(living)) == 1

    joiner = world.add(rank=1)
    world.join(joiner, hosts[0])
    living.append(joiner)
    node = living[0].node
    assert node is not None
    world.perform(
        living[0], node.receive_stream(world.now, living[1].id, messages.encode(Bodies(tuple(old))))
    )
    world.run(2.0)
    assert dead.id not in _views(living)[0]
    world.run(60.0)
    assert _views(living) == [{host.id: "alive" for host in living}] * 4
    assert len(_summaries(living)) == 1

    world.restart(dead)
    world.run(30.0)
    assert _views([*living, dead]) == [{host.id: "alive" for host in [*living, dead]}] * 5


@pytest.mark.parametrize("seed", range(3))
def test_two_halves_that_have_forgotten_each_other_find_together_again(seed: int) -> None:
    world = World(seed, Settings(reap_dead=20.0, hello_again=1.0))
    hosts = [world.add(rank=10) for _ in range(4)]
    world.found(hosts[0])
    for host in hosts[1:]:
        world.join(host, hosts[0])
    world.run(5.0)
    one, other = hosts[:2], hosts[2:]
    cut = LinkFault(frozenset(h.number for h in one), frozenset(h.number for h in other), cut=True)
    back = LinkFault(frozenset(h.number for h in other), frozenset(h.number for h in one), cut=True)
    world.set_faults((cut, back))
    world.run(60.0)
    assert _views(one) == [{host.id: "alive" for host in one}] * 2
    world.set_faults(())
    everyone = [{host.id: "alive" for host in hosts}] * 4
    assert world.run_until(lambda: _views(hosts) == everyone, limit=10.0)


def test_the_record_of_a_member_that_comes_back_by_liveness_alone_is_known_again() -> None:
    stage = Stage()
    actor = _dead(stage)
    actor.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
    [back] = [member for member in stage.node.members() if member.id == actor.id]
    assert back.state == "alive"
    assert back.record is not None


def test_a_member_that_left_and_was_forgotten_has_still_left_when_it_speaks() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.tells(actor.record(sequence=2, left=True))
    stage.wait(620.0)
    assert stage.state_of(actor) == "unknown"
    actor.says(Ping(1, bytes(8), 1, 0))
    assert stage.state_of(actor) == "left"

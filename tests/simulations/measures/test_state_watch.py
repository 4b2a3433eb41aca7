from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import MemberState
from simulations.measures.ready_pool import ready, state_of
from simulations.measures.state_watch import DeathWatch, StateWatch


def test_a_watch_counts_deaths_and_returns() -> None:
    world = ready(5, 3, Settings())
    watch = StateWatch(world)
    victim = world.hosts[2]
    world.crash(victim, silent=True)
    world.run(20.0)
    everyone = {0, 1, 2, 3, 4}
    assert sorted(watch.dead({2}, everyone)) == [(0, 2), (1, 2), (3, 2), (4, 2)]
    assert watch.dead({0, 1, 3, 4}, everyone) == []
    assert state_of(world.hosts[0], victim.id) == MemberState.DEAD
    world.restart(victim)
    world.run(20.0)
    assert watch.changes[0, 2] == 2


def test_the_first_death_in_each_members_eyes_is_noted() -> None:
    world = ready(5, 3, Settings())
    victim = world.hosts[2]
    known = DeathWatch(world, victim.id)
    world.run(2.0)
    assert known.at == {}
    since = world.now
    world.crash(victim, silent=True)
    world.run(20.0)
    assert known.at.keys() == {0, 1, 3, 4}
    assert all(since < at < since + 10.0 for at in known.at.values())

from mesh.protocol.base.settings import Settings
from simulations.measures.falsedeaths.episode_watch import EpisodeWatch
from simulations.measures.ready_pool import ready
from simulations.network import LinkFault


def test_a_watch_counts_an_episode_once_however_many_suspect() -> None:
    world = ready(5, 3, Settings())
    watch = EpisodeWatch(world)
    victim = world.hosts[2]
    world.crash(victim, silent=True)
    world.run(20.0)
    assert watch.suspicions == 1
    assert [subject for subject, _ in watch.begun] == [2]
    assert watch.killed == {2: 1}
    assert len(watch.dead({2}, {0, 1, 3, 4})) == 4
    world.restart(victim)
    world.run(20.0)
    assert watch.changes[0, 2] == 2
    assert not watch.suspected[2]


def test_a_member_that_withdraws_is_killed_by_none() -> None:
    world = ready(8, 1, Settings())
    watch = EpisodeWatch(world)
    world.set_faults((LinkFault(targets=frozenset({3}), loss=0.8),))
    assert world.run_until(lambda: watch.withdrawn > 0, 90.0, 0.5)
    killed = watch.killed[3]
    world.run(5.0)
    assert watch.withdrawn == 1
    assert len(watch.dead({3}, set(range(8)))) == 7
    assert watch.killed[3] == killed

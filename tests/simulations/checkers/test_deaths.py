from simulations.network import LinkFault
from tests.simulations.checkers.watched import Watched


def _cut_off(pool: Watched) -> None:
    alone, rest = frozenset({2}), frozenset({0, 1, 3})
    pool.world.set_faults((LinkFault(alone, rest, cut=True), LinkFault(rest, alone, cut=True)))
    pool.world.run(15.0)


def test_a_death_without_a_cause_is_caught() -> None:
    pool = Watched(families=("lies",))
    pool.world.run(70.0)
    _cut_off(pool)
    assert "deaths: host2 turned dead at host0 though it did not stand still" in pool.said


def test_who_stood_still_may_be_held_dead() -> None:
    pool = Watched(families=("pauses",))
    pool.world.run(70.0)
    pool.world.pause(pool.hosts[2], 15.0)
    pool.world.run(20.0)
    assert pool.said == ""


def test_under_worse_faults_nothing_is_demanded() -> None:
    pool = Watched(families=("pauses", "partitions"))
    pool.world.run(70.0)
    _cut_off(pool)
    assert pool.said == ""

"""A rollback excuses what it made a member forget, once, and nothing else."""

from mesh.wire import codec
from simulations.checkers.setbacks import Setbacks, stored, stored_grant
from simulations.hosts import Host
from simulations.world import World


def _pool() -> tuple[World, Setbacks, Host]:
    world = World(1)
    setbacks = Setbacks(world)
    host = world.add(rank=10)
    world.found(host)
    world.run(5.0)
    return world, setbacks, host


def _write_term(world: World, host: Host, term: int) -> None:
    host.disk.write(world.now, "term", codec.pack([term]))


def test_the_terms_between_the_disk_after_and_the_disk_before_are_forgotten() -> None:
    world, setbacks, host = _pool()
    began = stored(host, "term")
    world.run(10.0)
    before = world.now
    world.run(1.0)
    _write_term(world, host, began + 3)
    world.crash(host)
    host.disk.roll_back(before)
    world.restart(host)
    forgotten = [term for term in range(began + 6) if setbacks.times(host.id, term)]
    assert forgotten == [began + 1, began + 2, began + 3]
    assert setbacks.times(host.id, began + 1) == 1


def test_each_rollback_is_an_excuse_of_its_own() -> None:
    _, setbacks, host = _pool()
    setbacks.forgot(host.id, 2, 5)
    setbacks.forgot(host.id, 4, 6)
    assert [setbacks.times(host.id, term) for term in range(2, 8)] == [0, 1, 1, 2, 1, 0]


def test_who_was_set_back_may_have_said_anything_before() -> None:
    _, setbacks, host = _pool()
    assert not setbacks.has_forgotten(host.id)
    setbacks.forgot(host.id, 2, 2)
    assert setbacks.has_forgotten(host.id)


def test_a_restart_from_the_same_disk_excuses_nothing_and_tells_nobody() -> None:
    world, setbacks, host = _pool()
    told: list[Host] = []
    setbacks.listeners.append(told.append)
    _write_term(world, host, 9)
    world.crash(host)
    world.restart(host)
    assert (told, setbacks.times(host.id, 9)) == ([], 0)
    before = world.now
    world.run(1.0)
    _write_term(world, host, 10)
    world.crash(host)
    host.disk.roll_back(before)
    world.restart(host)
    assert told == [host]


def test_what_is_not_on_the_disk_counts_as_nothing() -> None:
    world = World(1)
    host = world.add()
    assert (stored(host, "term"), stored_grant(host)) == (0, None)

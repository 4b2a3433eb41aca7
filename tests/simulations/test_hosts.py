import pytest

from mesh.protocol.base.effects import Timer
from simulations.hosts import Disk, Host
from simulations.signing import KeyedHash
from simulations.world import World


def test_a_disk_goes_back_to_what_it_held_at_a_time() -> None:
    disk = Disk()
    disk.write(1.0, "term", b"1")
    disk.write(2.0, "term", b"2")
    disk.write(3.0, "grant", b"x")
    assert disk.roll_back(1.5) == 2
    assert disk == {"term": b"1"}
    assert disk.roll_back(1.5) == 0
    disk.write(4.0, "term", b"4")
    assert disk.roll_back(0.0) == 2
    assert disk == {}


def test_a_clock_that_runs_faster_does_not_jump_when_its_rate_changes() -> None:
    host = Host(0, 1, KeyedHash(0))
    host.offset = 500.0
    before = host.local(10.0)
    host.set_rate(10.0, 1.01)
    assert host.local(10.0) == pytest.approx(before)
    assert host.local(110.0) == pytest.approx(before + 101.0)
    assert host.world_time(host.local(42.0)) == pytest.approx(42.0)


def _pool(count: int) -> tuple[World, list[Host]]:
    world = World(1)
    hosts = [world.add() for _ in range(count)]
    world.found(hosts[0])
    for host in hosts[1:]:
        world.join(host, hosts[0])
    return world, hosts


def test_a_node_is_never_woken_before_its_clock_says_so() -> None:
    world, hosts = _pool(3)
    hosts[1].set_rate(world.now, 1.009)
    hosts[2].set_rate(world.now, 0.991)
    early: list[Timer] = []
    for host in hosts:
        node = host.node
        assert node is not None
        fire, due = node.fire, node._context._pending

        def watched(now: float, timer: Timer, fire=fire, due=due):  # type: ignore[no-untyped-def]
            pending = due.get((timer.kind, timer.subject))
            if pending is not None and pending[0] == timer.token and now < pending[1]:
                early.append(timer)
            return fire(now, timer)

        node.fire = watched  # type: ignore[method-assign]
    world.run(20.0)
    assert early == []


def test_after_a_jump_of_the_clock_what_is_due_by_it_fires_at_once() -> None:
    world, hosts = _pool(1)
    world.run(5.0)
    events = world.events
    world.run(0.001)
    assert world.events == events
    world.jump(hosts[0], 60.0)
    world.run(0.001)
    assert world.events > events

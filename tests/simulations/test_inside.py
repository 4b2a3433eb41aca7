from simulations import inside
from simulations.world import World


def test_who_lost_nine_others_at_once_waits_in_doubt_and_then_leads() -> None:
    world = World(1)
    hosts = [world.add(rank=50 - number) for number in range(10)]
    world.found(hosts[0])
    for host in hosts[1:]:
        world.join(host, hosts[0])
    world.run(5.0)
    left = hosts[-1].node
    assert left is not None
    for host in hosts[:-1]:
        world.crash(host, silent=True)
    world.run(3.0)
    assert not inside.waits_in_doubt(left)  # it may yet trust itself
    world.run(20.0)
    assert inside.waits_in_doubt(left)
    world.run(35.0)
    assert not inside.waits_in_doubt(left)
    leader = left.leader()
    assert leader is not None
    assert leader.author == left.id

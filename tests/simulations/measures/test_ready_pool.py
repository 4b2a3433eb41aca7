from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import MemberState
from simulations.measures.ready_pool import alive_count, leader_of, one_leader, ready, state_of
from simulations.measures.state_watch import DeathWatch


def test_a_ready_pool_knows_itself_has_one_leader_and_is_quiet() -> None:
    world = ready(6, 1, Settings())
    assert one_leader(world)
    assert all(alive_count(host) == 6 for host in world.hosts)
    assert leader_of(world).profile.rank == max(host.profile.rank for host in world.hosts)
    pairs = len(world.bytes_sent)
    before = world.bytes_sent.total()
    world.run(10.0)
    assert pairs == 6
    assert world.bytes_sent.total() - before < 6 * 1000 * 10


def test_a_ready_pool_is_a_pool_like_any_other() -> None:
    """It notices a crash, and takes a member that comes back."""
    world = ready(5, 2, Settings())
    victim = world.hosts[3]
    known = DeathWatch(world, victim.id)
    world.crash(victim)
    assert world.run_until(lambda: len(known.at) == 4, 20.0)
    world.restart(victim)
    others = [host for host in world.hosts if host is not victim]
    assert world.run_until(
        lambda: all(state_of(host, victim.id) == MemberState.ALIVE for host in others), 20.0
    )


def test_equal_seeds_give_equal_runs_and_a_new_seed_another() -> None:
    digests = []
    for seed in (1, 1, 2):
        world = ready(5, 7, Settings())
        world.reseed(seed)
        world.run(5.0)
        digests.append(world.digest())
    assert digests[0] == digests[1] != digests[2]


def test_stand_ins_are_held_alive_and_keep_the_rest_busy() -> None:
    world = ready(40, 1, Settings(), full=4)
    before = dict(world.bytes_sent)
    world.run(20.0)
    assert all(alive_count(host) == 40 for host in world.running())
    assert len(world.running()) == 4
    rates = [(world.bytes_sent[host.number] - before[host.number]) / 20.0 for host in world.running()]
    whole = ready(40, 1, Settings())
    before = dict(whole.bytes_sent)
    whole.run(20.0)
    usual = (whole.bytes_sent.total() - sum(before.values())) / 20.0 / 40
    assert all(abs(rate - usual) < 0.15 * usual for rate in rates)


def test_of_more_members_than_one_may_tell_of_at_once_all_are_held_alive() -> None:
    world = ready(4500, 1, Settings(), full=6)
    assert [alive_count(host) for host in world.running()] == [4500] * 6

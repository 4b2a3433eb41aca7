from mesh.protocol.base.effects import LeaderChanged
from simulations.hosts import address
from simulations.network import LinkFault
from tests.simulations.checkers.watched import Watched


def test_a_claim_while_most_hear_a_leader_is_caught() -> None:
    pool = Watched()
    pool.world.run(10.0)
    pool.follow(pool.hosts[3], pool.claim(pool.hosts[3], 50))
    assert "elections: host3 claims term 50 though 3 of 3 members that it reaches hear a leader" in pool.said


def test_where_votes_may_be_lost_nothing_is_judged() -> None:
    pool = Watched()
    pool.world.set_faults((LinkFault(loss=0.1),))
    pool.world.run(10.0)
    pool.follow(pool.hosts[3], pool.claim(pool.hosts[3], 50))
    assert "elections" not in pool.said


def test_one_who_reaches_nobody_may_claim() -> None:
    pool = Watched()
    alone, rest = frozenset({3}), frozenset({0, 1, 2})
    pool.world.set_faults((LinkFault(alone, rest, cut=True), LinkFault(rest, alone, cut=True)))
    pool.world.run(20.0)
    assert pool.said == ""
    node = pool.hosts[3].node
    assert node is not None
    leader = node.leader()
    assert leader is not None
    assert leader.author == pool.hosts[3].id


def test_a_leader_that_was_heard_only_after_the_vote_is_no_reason_to_yield() -> None:
    pool = Watched()
    pool.world.run(10.0)
    for host in pool.hosts[:3]:
        pool.tell(host, LeaderChanged(None))
    pool.world.run(0.01)
    for host in pool.hosts[:3]:
        pool.follow(host, pool.claim(pool.hosts[0], 49))
    pool.world.run(0.05)
    pool.follow(pool.hosts[3], pool.claim(pool.hosts[3], 50))
    assert "elections" not in pool.said


def test_who_is_asked_where_it_lives_no_more_has_no_say() -> None:
    pool = Watched()
    pool.world.run(10.0)
    for host in pool.hosts[:3]:
        host.readdress(address(1000 + host.number))
    pool.follow(pool.hosts[3], pool.claim(pool.hosts[3], 50))
    assert "elections" not in pool.said

from mesh.wire.facts import Claim
from simulations.checkers.handovers import is_named, resigned_term
from simulations.world import World


def test_whom_a_leader_handed_over_to_is_named_for_the_next_term_alone() -> None:
    world = World(1)
    leader, heir, third = (world.add(rank=50 - number) for number in range(3))
    world.found(leader)
    for host in (heir, third):
        world.join(host, leader)
    world.run(3.0)
    assert leader.node is not None
    assert heir.node is not None
    assert third.node is not None
    claim = leader.node.leader()
    assert isinstance(claim, Claim)
    assert resigned_term(leader.node) < claim.term
    world.do(leader, "hand_over", heir.id)
    world.run(2.0)
    assert is_named(heir.node, claim.term + 1)
    assert not is_named(heir.node, claim.term + 2)
    assert not is_named(third.node, claim.term + 1)
    assert resigned_term(leader.node) == claim.term
    assert resigned_term(third.node) == 0
    world.do(heir, "hand_over", leader.id)
    world.run(2.0)
    assert leader.node.leader() == heir.node.leader() != claim
    assert is_named(heir.node, claim.term + 1)

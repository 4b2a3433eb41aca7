import pytest

from simulations.unruly import CLAIMED, UNRULY, Manner
from tests.simulations.served_pool import ServedPool


def test_an_unruly_worker_claims_what_nobody_has_until_it_is_calmed() -> None:
    pool = ServedPool(2)
    manners, host = pool.serving.manners, pool.hosts[1]
    manners.spoil(host, Manner.DIES)
    assert manners.of(host) is Manner.DIES
    assert manners.of(pool.hosts[0]) is Manner.GOOD
    assert (host.profile.memory_offered, host.profile.accelerator_kind) == (CLAIMED, "cuda")
    manners.calm()
    assert manners.of(host) is Manner.GOOD


@pytest.mark.parametrize("manner", UNRULY)
def test_each_way_to_misbehave_is_found_and_served_around(manner: Manner) -> None:
    pool = ServedPool(4)
    pool.deploy()
    assert pool.served()
    worker = pool.used()[0]
    pool.serving.manners.behave(worker, manner)
    leading = pool.serving.leading(pool.leader())
    assert leading is not None
    assert leading.server is not None
    leading.server.abort("so that it is loaded again")
    pool.world.run(25.0)
    assert worker not in pool.used()
    assert pool.served()
    node = pool.hosts[0].node
    assert node is not None
    state = node.pool_state()
    assert state is not None
    assert [one.member for one in state.quarantines] == [worker.id]
    assert pool.checkers.violations == []

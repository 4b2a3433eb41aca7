from mesh.protocol.effects import GateChanged
from tests.simulations.checkers.pools import Watched


def test_a_worker_that_goes_down_to_a_lower_claim_is_caught() -> None:
    pool = Watched()
    one, other, worker, _ = pool.hosts
    pool.lend(worker, pool.claim(one, 5))
    pool.lend(worker, pool.claim(other, 6))
    assert pool.said == ""
    pool.lend(worker, pool.claim(one, 5))
    assert "leases: host2 went down from term 6 to 5" in pool.said


def test_that_holds_across_restarts() -> None:
    pool = Watched()
    one, other, worker, _ = pool.hosts
    pool.lend(worker, pool.claim(other, 6))
    pool.world.crash(worker)
    pool.world.restart(worker)
    pool.lend(worker, pool.claim(one, 5))
    assert "went down from term 6 to 5" in pool.said


def test_a_grant_that_is_not_on_the_disk_is_caught() -> None:
    pool = Watched()
    pool.tell(pool.hosts[2], GateChanged(pool.claim(pool.hosts[0], 5)))
    assert "opened its gate before it noted the grant" in pool.said


def test_a_worker_taken_from_a_leader_that_still_has_it_is_caught() -> None:
    pool = Watched()
    leader, other, worker, _ = pool.hosts
    pool.world.do(leader, "want_leases", [worker.id])
    pool.world.run(0.5)
    pool.lend(worker, pool.claim(other, 99))
    assert "host2 was lent to host1 (term 99) while host0 (term " in pool.said


def test_a_lease_that_ends_before_its_holder_lets_go_is_caught() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.world.do(leader, "want_leases", [worker.id])
    pool.world.run(0.5)
    pool.lend(worker, None)
    assert "host2 is lent no longer, but host0 (term " in pool.said


def test_a_worker_set_back_that_lends_itself_at_once_is_caught() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.world.crash(worker)
    pool.checkers.excuses.set_back[worker.id] = pool.world.now
    pool.world.restart(worker)
    pool.world.run(1.0)
    pool.lend(worker, pool.claim(leader, 9))
    assert "lent itself within a lease of its start" in pool.said


def test_a_worker_set_back_may_have_forgotten_what_it_granted_before_but_nothing_since() -> None:
    pool = Watched()
    leader, other, worker, _ = pool.hosts
    pool.lend(worker, pool.claim(other, 60))
    pool.world.crash(worker)
    pool.checkers.excuses.set_back[worker.id] = pool.world.now
    pool.world.restart(worker)
    pool.world.run(70.0)
    pool.world.crash(worker)
    pool.world.restart(worker)
    pool.world.run(10.0)
    pool.lend(worker, pool.claim(leader, 50))
    assert pool.said == ""
    pool.lend(worker, pool.claim(other, 40))
    assert pool.said.endswith("leases: host2 went down from term 50 to 40")


def test_bytes_of_another_claim_or_through_a_shut_gate_are_caught() -> None:
    pool = Watched()
    one, other, worker, _ = pool.hosts
    leases = pool.checkers.leases
    leases.passed(worker, (one.id, 5))
    assert "which was shut" in pool.said
    pool.lend(worker, pool.claim(one, 5))
    leases.passed(worker, (one.id, 5))
    assert len(pool.checkers.violations) == 1
    pool.lend(worker, pool.claim(other, 6))
    leases.passed(worker, (one.id, 5))
    assert "bytes of host0 (term 5) passed the gate of host2, which was lent to another" in pool.said


def test_what_a_holder_began_passes_until_its_lease_is_broken_off() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.lend(worker, pool.claim(leader, 5))
    pool.lend(worker, pool.claim(leader, 7))
    pool.checkers.leases.passed(worker, (leader.id, 5))
    assert pool.said == ""
    pool.lend(worker, None)
    pool.lend(worker, pool.claim(leader, 8))
    pool.checkers.leases.passed(worker, (leader.id, 5))
    assert (
        "bytes of host0 (term 5) passed the gate of host2, which was lent to another claim, of term 8"
        in pool.said
    )

from typing import Any

import pytest

from mesh.protocol.base.effects import GateChanged
from mesh.wire.signed_facts import sign
from simulations.hosts import Host
from tests.simulations.checkers.watched import Watched


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
    pool.world.run(10.0)
    pool.lend(worker, pool.claim(one, 5))
    assert "went down from term 6 to 5" in pool.said


def test_a_grant_that_is_not_on_the_disk_is_caught() -> None:
    pool = Watched()
    pool.tell(pool.hosts[2], GateChanged(pool.claim(pool.hosts[0], 5)))
    assert "opened its gate before it stored the grant" in pool.said


def test_a_worker_taken_from_a_leader_that_still_has_it_is_caught() -> None:
    pool = Watched()
    leader, other, worker, _ = pool.hosts
    pool.world.do(leader, "want_leases", [worker.id])
    pool.world.run(0.5)
    pool.lend(worker, pool.claim(other, 99))
    assert "host2 granted its lease to host1 (term 99) while host0 (term " in pool.said


def test_a_lease_that_ends_before_its_holder_lets_go_is_caught() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.world.do(leader, "want_leases", [worker.id])
    pool.world.run(0.5)
    pool.lend(worker, None)
    assert "host2 ended its lease, but host0 (term " in pool.said


def _lead_on(pool: Watched) -> Any:
    """A leader with its own lease reclaims in one step; returns the grant that it has then."""
    leader = pool.hosts[0]
    assert leader.node is not None
    pool.world.do(leader, "want_leases", [leader.id])
    pool.world.run(0.5)
    before = leader.node.leader()
    assert before is not None
    grant: Any = leader.node._parts.worker_lease._grant
    grant.claim = sign(pool.claim(leader, before.term + 1), leader.signer)
    return grant


def test_a_leader_that_grants_itself_a_new_lease_in_one_step_ends_no_lease() -> None:
    pool = Watched()
    _lead_on(pool)
    pool.tell(pool.hosts[0], GateChanged(None))
    assert pool.said == ""


def test_a_leader_that_counts_on_itself_while_its_gate_stays_shut_is_caught() -> None:
    pool = Watched()
    _lead_on(pool).expires = 0.0
    pool.tell(pool.hosts[0], GateChanged(None))
    assert "host0 ended its lease, but host0 (term " in pool.said


def test_a_grant_of_which_the_disk_says_something_else_is_caught() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.lend(worker, pool.claim(leader, 5))
    pool.tell(worker, GateChanged(pool.claim(leader, 6)))
    assert pool.said.endswith("leases: host2 opened its gate before it stored the grant")


def test_a_worker_that_lends_itself_at_once_after_a_restart_is_caught() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.world.crash(worker)
    pool.world.restart(worker)
    pool.world.run(9.0)
    pool.lend(worker, pool.claim(leader, 9))
    assert pool.said.endswith("leases: host2 granted a lease within the restart grace")


def test_a_worker_whose_clock_leapt_knows_no_better_than_that_a_lease_is_over() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.world.crash(worker)
    pool.world.restart(worker)
    pool.checkers.excuses.jumped[worker.id] = pool.world.now
    pool.lend(worker, pool.claim(leader, 9))
    assert pool.said == ""


def test_a_worker_may_grant_a_lease_after_its_restart_and_at_once_when_it_is_new() -> None:
    pool = Watched()
    leader, _, worker, another = pool.hosts
    pool.lend(another, pool.claim(leader, 9))
    pool.world.crash(worker)
    pool.world.restart(worker)
    pool.world.run(10.0)
    pool.lend(worker, pool.claim(leader, 9))
    assert pool.said == ""


def _set_back(pool: Watched, host: Host, when: float) -> None:
    """The host starts again from its disk of then."""
    pool.world.crash(host)
    host.disk.roll_back(when)
    pool.world.restart(host)
    pool.world.run(10.0)


def test_a_worker_set_back_goes_on_from_what_its_disk_says() -> None:
    pool = Watched()
    leader, other, worker, _ = pool.hosts
    pool.lend(worker, pool.claim(leader, 50))
    noted = pool.world.now
    pool.world.run(1.0)
    pool.lend(worker, pool.claim(other, 60))
    _set_back(pool, worker, noted)
    pool.lend(worker, pool.claim(other, 55))
    assert pool.said == ""
    _set_back(pool, worker, noted)
    pool.lend(worker, pool.claim(other, 40))
    assert pool.said.endswith("leases: host2 went down from term 50 to 40")


def test_a_worker_set_back_is_held_to_what_it_grants_from_then_on() -> None:
    pool = Watched()
    leader, other, worker, _ = pool.hosts
    before = pool.world.now
    pool.world.run(1.0)
    pool.lend(worker, pool.claim(other, 60))
    _set_back(pool, worker, before)
    pool.lend(worker, pool.claim(leader, 50))
    assert pool.said == ""
    pool.lend(worker, pool.claim(other, 40))
    assert pool.said.endswith("leases: host2 went down from term 50 to 40")


def test_a_worker_set_back_that_is_taken_from_who_still_has_it_is_caught() -> None:
    pool = Watched()
    leader, other, worker, _ = pool.hosts
    before = pool.world.now
    pool.world.run(1.0)
    pool.world.do(leader, "want_leases", [worker.id])
    pool.world.run(0.5)
    pool.world.crash(worker)
    worker.disk.roll_back(before)
    pool.world.restart(worker)
    pool.world.run(1.0)
    pool.lend(worker, pool.claim(other, 99))
    assert "host2 granted its lease to host1 (term 99) while host0 (term " in pool.said


def _held(pool: Watched, leader: Host, worker: Host) -> None:
    pool.world.do(leader, "want_leases", [worker.id])
    pool.world.run(15.0)
    assert leader.node is not None
    assert worker.id in leader.node.leases(leader.local(pool.world.now))


def _forgetful() -> tuple[Watched, Host]:
    """A leader that has a worker and may have given up its term in a life that it forgot; the worker."""
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    _set_back(pool, leader, 0.5)
    _held(pool, leader, worker)
    assert leader.node is not None
    claim = leader.node.leader()
    assert claim is not None
    pool.checkers.setbacks.forgot(leader.id, claim.term - 1, claim.term)
    return pool, worker


def test_who_forgot_that_it_gave_up_a_term_may_count_on_a_worker_that_heard_of_it() -> None:
    pool, worker = _forgetful()
    pool.tell(worker, GateChanged(None))
    assert pool.said == ""


def test_it_may_also_when_that_worker_granted_its_lease_to_another() -> None:
    pool, worker = _forgetful()
    pool.lend(worker, pool.claim(pool.hosts[1], 99))
    assert pool.said == ""


@pytest.mark.parametrize("heir", [None, 1])
def test_it_may_no_longer_when_it_has_heard_of_that_itself(
    heir: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, worker = _forgetful()
    monkeypatch.setattr("simulations.checkers.leases.resigned_term", lambda node: 99)
    pool.lend(worker, None if heir is None else pool.claim(pool.hosts[heir], 99))
    assert "host0 (term " in pool.said


def test_a_term_that_it_took_since_it_was_set_back_excuses_nobody() -> None:
    pool = Watched()
    leader, _, worker, _ = pool.hosts
    pool.checkers.setbacks.forgot(leader.id, 0, 0)
    _held(pool, leader, worker)
    pool.tell(worker, GateChanged(None))
    assert "host2 ended its lease, but host0 (term " in pool.said


def test_bytes_of_another_claim_or_through_a_shut_gate_are_caught() -> None:
    pool = Watched()
    one, other, worker, _ = pool.hosts
    leases = pool.checkers.leases
    leases.passed(worker, (one.id, 5))
    assert "which was closed" in pool.said
    pool.lend(worker, pool.claim(one, 5))
    leases.passed(worker, (one.id, 5))
    assert len(pool.checkers.violations) == 1
    pool.lend(worker, pool.claim(other, 6))
    leases.passed(worker, (one.id, 5))
    assert "bytes of host0 (term 5) passed the gate of host2, which another claim holds" in pool.said


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
        "bytes of host0 (term 5) passed the gate of host2, which another claim holds, of term 8" in pool.said
    )

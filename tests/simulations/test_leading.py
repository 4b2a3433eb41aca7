from dataclasses import replace

import pytest

from simulations.checkers.settled import unserved
from simulations.network import LinkFault
from simulations.population import CONTEXT
from tests.simulations.served_pool import ServedPool


def test_what_an_owner_deploys_is_served_and_known_everywhere() -> None:
    stage = ServedPool()
    assert unserved(stage.serving, stage.hosts) == "nothing is deployed"
    stage.deploy()
    assert stage.served(10.0)
    assert stage.used()
    assert all(worker is not stage.leader() for worker in stage.used())
    assert stage.checkers.violations == []


def test_bytes_pass_only_the_gates_of_used_workers() -> None:
    stage = ServedPool()
    stage.deploy()
    assert stage.served()
    passed: set[int] = set()
    stage.serving.passes.append(lambda worker, key: passed.add(worker.number))
    stage.world.run(5.0)
    assert passed == {worker.number for worker in stage.used()}


@pytest.mark.parametrize("silent", [False, True])
def test_it_serves_again_after_a_used_worker_died(silent: bool) -> None:
    stage = ServedPool()
    stage.deploy()
    assert stage.served()
    lost = stage.used()[0]
    stage.world.crash(lost, silent)
    stage.world.run(8.0)
    assert stage.served()
    assert lost not in stage.used()
    assert stage.checkers.violations == []


def test_it_serves_again_after_the_leader_died() -> None:
    stage = ServedPool()
    stage.deploy()
    assert stage.served()
    former = stage.leader()
    stage.world.crash(former)
    stage.world.run(5.0)
    assert stage.served()
    assert stage.leader() is not former
    assert stage.checkers.violations == []


def test_who_was_cut_off_and_claimed_does_not_take_over_from_the_leader_that_serves() -> None:
    stage = ServedPool()
    stage.deploy()
    assert stage.served()
    leader, stray = stage.leader(), stage.used()[0]
    alone, rest = frozenset({stray.number}), frozenset(host.number for host in stage.hosts if host != stray)
    stage.world.set_faults((LinkFault(alone, rest, cut=True), LinkFault(rest, alone, cut=True)))
    stage.world.run(20.0)
    assert stray.node is not None
    assert leader.node is not None
    claim = stray.node.leader()
    assert claim is not None
    assert claim.author == stray.id
    serving = stage.serving.leading(leader)
    assert serving is not None
    server = serving.server
    assert server is not None
    assert server.phase == "ready"
    stage.world.set_faults(())
    stage.world.run(10.0)
    assert stage.served()
    assert stage.leader() is leader
    assert stray.node.leader() == leader.node.leader()
    assert serving.server is server, "what it served from was not given up"
    assert server.phase == "ready"
    assert stage.checkers.violations == []


def test_it_serves_again_after_a_worker_changed_its_mind_about_its_engine() -> None:
    stage = ServedPool()
    stage.deploy()
    assert stage.served()
    gate = stage.serving.gate(stage.used()[0])
    assert gate is not None
    assert gate.busy
    gate.restart_engine()
    stage.world.run(0.5)
    assert unserved(stage.serving, stage.hosts)
    assert stage.served()


def test_a_leader_without_the_model_hands_over_to_who_holds_it() -> None:
    stage = ServedPool()
    leader = stage.leader()
    leader.profile = replace(leader.profile, models=())
    stage.world.do(leader, "publish", leader.profile)
    stage.world.run(2.0)
    stage.deploy()
    assert stage.served()
    assert stage.leader() is not leader


def test_a_stopped_deployment_is_served_no_more() -> None:
    stage = ServedPool()
    stage.deploy()
    assert stage.served()
    stage.world.do(stage.hosts[0], "deploy", stage.model, CONTEXT, 1, False)
    stage.world.run(2.0)
    leading = stage.serving.leading(stage.leader())
    assert leading is not None
    assert leading.server is None
    assert not any(gate.busy for host in stage.hosts if (gate := stage.serving.gate(host)) is not None)


def test_a_model_that_fits_nowhere_is_waited_for() -> None:
    stage = ServedPool(2)
    stage.world.do(stage.hosts[0], "deploy", stage.pool.models[1], CONTEXT, 1, True)
    assert not stage.served(10.0)

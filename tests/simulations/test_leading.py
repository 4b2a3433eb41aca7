from dataclasses import replace

import pytest

from mesh.wire.facts import Model
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS
from simulations.checkers import Checkers
from simulations.checkers.settled import unserved
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.network import LinkFault
from simulations.pools import CONTEXT, Pool, Trait
from simulations.world import World


class Stage:
    """A pool of hosts that each offer 70 MiB: the model of 8 layers needs two of them."""

    def __init__(self, count: int = 4) -> None:
        self.world = World(1)
        traits = [Trait(ALL_RIGHTS, 50 - number, 70, (0,), 1.0, 0.0) for number in range(count)]
        self.pool = Pool(self.world, traits)
        self.hosts = self.world.hosts
        self.serving = Serving(self.world, self.pool.shapes)
        self.checkers = Checkers(self.world, self.serving)
        self.world.found(self.hosts[0])
        for host in self.hosts[1:]:
            self.pool.start(host)
        self.world.run(3.0)

    @property
    def model(self) -> Model:
        return self.pool.models[0]

    def deploy(self) -> None:
        self.world.do(self.hosts[0], "deploy", self.model, CONTEXT, 1, True)

    def leader(self) -> Host:
        node = next(host.node for host in self.hosts if host.node is not None)
        claim = node.leader()
        assert claim is not None
        return self.world.host_of(claim.author)

    def served(self, limit: float = 30.0) -> bool:
        return self.world.run_until(lambda: not unserved(self.serving, self.world.running()), limit)

    def used(self) -> list[Host]:
        leading = self.serving.leading(self.leader())
        assert leading is not None
        assert leading.server is not None
        return [self.world.host_of(NodeId(worker)) for worker in leading.server.plan.workers]


def test_what_an_owner_deploys_is_served_and_known_everywhere() -> None:
    stage = Stage()
    assert unserved(stage.serving, stage.hosts) == "nothing is deployed"
    stage.deploy()
    assert stage.served(10.0)
    assert stage.used()
    assert all(worker is not stage.leader() for worker in stage.used())
    assert stage.checkers.violations == []


def test_bytes_pass_only_the_gates_of_used_workers() -> None:
    stage = Stage()
    stage.deploy()
    assert stage.served()
    passed: set[int] = set()
    stage.serving.passes.append(lambda worker, key: passed.add(worker.number))
    stage.world.run(5.0)
    assert passed == {worker.number for worker in stage.used()}


@pytest.mark.parametrize("silent", [False, True])
def test_it_serves_again_after_a_used_worker_died(silent: bool) -> None:
    stage = Stage()
    stage.deploy()
    assert stage.served()
    lost = stage.used()[0]
    stage.world.crash(lost, silent)
    stage.world.run(8.0)
    assert stage.served()
    assert lost not in stage.used()
    assert stage.checkers.violations == []


def test_it_serves_again_after_the_leader_died() -> None:
    stage = Stage()
    stage.deploy()
    assert stage.served()
    former = stage.leader()
    stage.world.crash(former)
    stage.world.run(5.0)
    assert stage.served()
    assert stage.leader() is not former
    assert stage.checkers.violations == []


def test_who_was_cut_off_and_claimed_does_not_take_over_from_the_leader_that_serves() -> None:
    stage = Stage()
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
    stage = Stage()
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
    stage = Stage()
    leader = stage.leader()
    leader.profile = replace(leader.profile, models=())
    stage.world.do(leader, "publish", leader.profile)
    stage.world.run(2.0)
    stage.deploy()
    assert stage.served()
    assert stage.leader() is not leader


def test_a_stopped_deployment_is_served_no_more() -> None:
    stage = Stage()
    stage.deploy()
    assert stage.served()
    stage.world.do(stage.hosts[0], "deploy", stage.model, CONTEXT, 1, False)
    stage.world.run(2.0)
    leading = stage.serving.leading(stage.leader())
    assert leading is not None
    assert leading.server is None
    assert not any(gate.busy for host in stage.hosts if (gate := stage.serving.gate(host)) is not None)


def test_a_model_that_fits_nowhere_is_waited_for() -> None:
    stage = Stage(2)
    stage.world.do(stage.hosts[0], "deploy", stage.pool.models[1], CONTEXT, 1, True)
    assert not stage.served(10.0)

"""A pool that serves a model, on hosts of a simulated world."""

from __future__ import annotations

from mesh.wire.identity import NodeId
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS
from simulations.checkers import Checkers
from simulations.checkers.settled import unserved
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.population import CONTEXT, Population, Trait
from simulations.world import World


class ServedPool:
    """A pool of hosts that each offer 70 MiB: the model of 8 layers needs two of them."""

    def __init__(self, count: int = 4) -> None:
        self.world = World(1)
        traits = [Trait(ALL_RIGHTS, 50 - number, 70, (0,), 1.0, 0.0) for number in range(count)]
        self.pool = Population(self.world, traits)
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

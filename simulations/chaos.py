"""Random faults from a seed: crashes, restarts, pauses, partitions, loss, departures, handovers.

While they strike, the safety checkers look on; then everything is healed and the pool must come together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.wire.errors import MeshError
from mesh.wire.facts import Model
from simulations.checkers import Checkers, disagreement
from simulations.world import Host, Network, Observer, World

FAULTY_SECONDS = 40.0
HEALING_LIMIT = 60.0
_MODEL = Model("model.gguf", 1, bytes(32))


@dataclass(slots=True)
class Outcome:
    """What became of one seed; ``healed_after`` in seconds, None when the pool did not come together."""

    seed: int
    nodes: int
    events: int = 0
    healed_after: float | None = None
    violations: list[str] = field(default_factory=list)


class Chaos:
    """One run."""

    def __init__(self, seed: int, nodes: int | None, trace: Callable[[str], None] | None = None) -> None:
        self._random = random.Random(seed ^ 0x5EED)
        self.world = World(seed)
        self.checkers = Checkers(self.world)
        self.outcome = Outcome(seed, nodes or self._random.randrange(2, 8))
        self._trace = trace
        if trace is not None:
            self.world.observers.append(_tracer(trace))

    def run(self) -> Outcome:
        """Found and fill a pool, let faults strike, heal, judge."""
        world, outcome = self.world, self.outcome
        founder = world.add(rank=self._random.randrange(1, 100))
        world.found(founder)
        world.run(self._random.random())
        while len(world.hosts) < outcome.nodes:
            world.join(world.add(rank=self._random.randrange(1, 100)), founder)
            world.run(0.3 * self._random.random())
        self._lead(until=world.now + FAULTY_SECONDS + HEALING_LIMIT)
        end = world.now + FAULTY_SECONDS
        while world.now < end:
            self._strike()
            world.run(self._random.uniform(0.1, 4.0))
        self._heal()
        outcome.events = world.events
        outcome.violations += self.checkers.violations
        return outcome

    def _lead(self, until: float) -> None:
        """Twice a second whoever leads wants every member's lease, as a reconciler would."""
        world = self.world
        for host in world.running():
            node = host.node
            if node is None or world.now < host.paused_until:
                continue
            leader = node.leader()
            if leader is not None and leader.author == host.id:
                alive = frozenset(member.id for member in node.members() if member.state == "alive")
                world.perform(host, node.want_leases(world.now, alive))
        if world.now < until:
            world.at(world.now + 0.5, lambda: self._lead(until))

    # --- faults

    def _strike(self) -> None:
        faults = [
            self._crash, self._crash, self._restart, self._restart, self._pause, self._pause, self._partition,
            self._reconnect, self._lossy, self._leave, self._hand_over, self._deploy, self._sleep,
        ]  # fmt: skip
        faults[self._random.randrange(len(faults))]()

    def _note(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.world.now:.3f} ** {text}")

    def _some(self, running: bool) -> Host | None:
        hosts = [host for host in self.world.hosts if (host.node is not None) == running]
        return hosts[self._random.randrange(len(hosts))] if hosts else None

    def _crash(self) -> None:
        if (host := self._some(True)) is not None:
            self._note(f"host{host.number} crashes")
            self.world.crash(host)

    def _restart(self) -> None:
        if (host := self._some(False)) is not None:
            self._note(f"host{host.number} starts")
            self.world.restart(host)

    def _pause(self) -> None:
        if (host := self._some(True)) is not None:
            seconds = self._random.uniform(0.2, 6.0)
            self._note(f"host{host.number} stands still for {seconds:.1f} s")
            self.world.pause(host, seconds)

    def _sleep(self) -> None:
        """A lid is shut for longer than a lease."""
        if (host := self._some(True)) is not None:
            self._note(f"host{host.number} sleeps for 15 s")
            self.world.pause(host, 15.0)

    def _partition(self) -> None:
        sides = {host.number: self._random.randrange(2) for host in self.world.hosts}
        self._note(f"the network parts: {sides}")
        self.world.network.sides = sides

    def _reconnect(self) -> None:
        self._note("the network is whole")
        self.world.network.sides = {}

    def _lossy(self) -> None:
        self.world.network.loss = self._random.choice([0.0, 0.01, 0.05, 0.2])
        self.world.network.jitter = self._random.choice([0.0005, 0.01, 0.1])
        self._note(f"the network loses {self.world.network.loss:.0%}")

    def _leave(self) -> None:
        if (host := self._some(True)) is not None:
            self._note(f"host{host.number} leaves")
            self.world.leave(host)

    def _hand_over(self) -> None:
        for host in self.world.running():
            leader = host.node.leader() if host.node is not None else None
            heir = self._some(True)
            if host.node is None or heir is None or leader is None or leader.author != host.id:
                continue
            try:
                effects = host.node.hand_over(self.world.now, heir.id)
            except MeshError:
                continue
            self._note(f"host{host.number} hands over to host{heir.number}")
            self.world.perform(host, effects)

    def _deploy(self) -> None:
        if (host := self._some(True)) is not None and host.node is not None:
            running = self._random.random() < 0.8
            self.world.perform(host, host.node.deploy(self.world.now, _MODEL, 4096, 1, running, ()))

    # --- healing

    def _heal(self) -> None:
        world = self.world
        self._note("all is healed")
        world.network = Network()
        for host in world.hosts:
            host.paused_until = min(host.paused_until, world.now)
            if host.node is None:
                world.restart(host)
        since = world.now
        healed = world.run_until(lambda: not disagreement(world), HEALING_LIMIT)
        if healed:
            self.outcome.healed_after = world.now - since
            world.run(5.0)
        reason = disagreement(world) or self._deployments_differ()
        if reason:
            self.outcome.violations.append(f"{world.now:.3f} after healing: {reason}")

    def _deployments_differ(self) -> str:
        seen = {host.node.deployment() for host in self.world.running() if host.node is not None}
        return "" if len(seen) == 1 else f"{len(seen)} deployments"


def _tracer(trace: Callable[[str], None]) -> Observer:
    def observe(world: World, host: Host, event: object) -> None:
        if type(event).__name__ != "MembersChanged":
            trace(f"{world.now:.3f} host{host.number} {describe(world, event)}")

    return observe


def describe(world: World, event: object) -> str:
    """An event in one line, hosts by number."""
    name = type(event).__name__
    if hasattr(event, "claim"):
        claim = event.claim
        return (
            f"{name} host{world.host_of(claim.author).number} term {claim.term}"
            if claim
            else f"{name} nobody"
        )
    if hasattr(event, "held"):
        return f"{name} {sorted(world.host_of(id).number for id in event.held)}"
    return f"{name} {getattr(event, 'text', '')}".rstrip()

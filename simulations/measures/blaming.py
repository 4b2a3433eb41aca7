"""``blame``: what a worker that lies or fails costs the pool, and whether anybody else is blamed for it.

Each repeat is a pool that could serve without its one unruly worker, which claims memory and speed that
nobody has. In every second one the network, the leader and other workers are at fault too, again and again:
of these it counts alone whom a leader blames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from random import Random
from typing import Final

from leader.blame.breaks import Judgement
from leader.reconcile.view import View
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.states import Phase
from simulations.checkers import Checkers
from simulations.engines import LlamaServer
from simulations.faults import Fault, Storm
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.measures.branches import each_in_branch
from simulations.measures.measurement import Goal, Measurement
from simulations.measures.trials import TrialPlan
from simulations.population import CONTEXT, SLOTS, Population, Trait
from simulations.unruly import UNRULY, Manner
from simulations.world import World

_STEP: Final = 0.25
SERVED, NAMED, INNOCENT = 0.95, 2, 0


@dataclass(slots=True)
class Blaming:
    """What came of one repeat; ``loads`` counts those with the unruly worker until it was blamed first."""

    seed: int
    manner: Manner
    troubled: bool
    served: float = 0.0
    """The share of the time, from the first moment in which it was served."""
    loads: int = 0
    named: bool = False
    wholes: int = 0
    """Plans in which the unruly worker, when it had not proved itself, held the whole model."""
    violations: list[str] = field(default_factory=list)


class Trial:
    """One pool with an unruly worker; the first host founds, owns and holds the model."""

    def __init__(self, seed: int, plan: TrialPlan, minutes: float, manner: Manner | None) -> None:
        random = Random(seed)
        self._random = random
        self._seconds = 60.0 * minutes
        self.outcome = Blaming(seed, manner or random.choice(UNRULY), seed % 2 == 0)
        self._world = world = World(seed, plan.settings)
        honest = max(3, plan.nodes - 1)
        traits = [
            Trait(
                ALL_RIGHTS if number < 2 else Rights.WORK,
                60 - number if number < 2 else 0,
                random.choice([70, 90, 110]),
                (0,) if number < 2 else (),
                1.0,
                0.0,
                devices=0,
            )
            for number in range(honest)
        ]
        self._pool = Population(world, [*traits, Trait(Rights.WORK, 0, 100, (), 1.0, 0.0, devices=0)])
        self._unruly = world.hosts[-1]
        self._serving = Serving(world, self._pool.shapes)
        self._serving.manners.spoil(self._unruly, self.outcome.manner)
        self._checkers = Checkers(world, self._serving)
        self._serving.judgements.append(self._judged)
        self._serving.stops.append(self._stopped)
        self._seen: set[int] = set()

    def run(self) -> Blaming:
        """Serve, with the unruly worker in the pool from the first or some time later; judge."""
        world, outcome = self._world, self.outcome
        world.found(world.hosts[0])
        for host in world.hosts[1:-1]:
            self._pool.start(host)
        world.run(3.0)
        world.do(world.hosts[0], "deploy", self._pool.models[0], CONTEXT, SLOTS, True)
        world.run_until(self._serves, 30.0, _STEP)
        world.run(self._random.choice([0.0, 20.0]))
        self._pool.start(self._unruly)
        if outcome.troubled:
            storm = Storm(world, self._pool, self._serving, None, self._checkers.excuses, lambda text: None)
            storm.strike(self._troubles())
        steps, served = 0, 0
        until = world.now + self._seconds
        while world.now < until:
            world.run(_STEP)
            steps += 1
            served += self._serves()
            self._look()
        outcome.served = served / max(1, steps)
        outcome.violations = [said for said in self._checkers.violations if " innocents: " in said]
        return outcome

    def _serves(self) -> bool:
        return any(server.phase is Phase.READY for server in self._servers())

    def _servers(self) -> list[LlamaServer]:
        found = (self._serving.leading(host) for host in self._world.running())
        return [leading.server for leading in found if leading is not None and leading.server is not None]

    def _look(self) -> None:
        """Count the loads with the unruly worker, and the plans that gave it all."""
        for server in self._servers():
            if id(server) in self._seen:
                continue
            self._seen.add(id(server))
            held = {NodeId(one.device.member): one.layers for one in server.plan.stages}
            if self._unruly.id in held:
                self.outcome.loads += not self.outcome.named
                self.outcome.wholes += held[self._unruly.id] == server.plan.model_info.n_layers

    def _stopped(self, host: Host, view: View) -> None:
        self._look()

    def _judged(self, leader: Host, judged: Judgement) -> None:
        if judged.guilty and judged.tunnel.member == self._unruly.id:
            self.outcome.named = True

    def _troubles(self) -> list[Fault]:
        """Faults of the network, of leaders and of sidecars, none of them of an rpc-server."""
        random, hosts, faults = self._random, len(self._world.hosts), []
        at = 10.0
        while at < self._seconds:
            one, *rest = random.sample(range(hosts), hosts)
            lasts = random.choice([1.0, 6.0, 15.0])
            faults.append(
                random.choice(
                    [
                        Fault(at, "partition", (one,), tuple(rest), lasts=lasts),
                        Fault(at, "partition", (one,), tuple(rest[:1]), lasts=lasts),
                        Fault(at, "one way", (one,), tuple(rest), lasts=lasts),
                        Fault(at, "one way", (one,), tuple(rest[:1]), lasts=lasts),
                        Fault(at, "loss", value=random.choice([0.05, 0.2]), lasts=lasts),
                        Fault(at, "delay", (one,), value=0.15, lasts=lasts),
                        Fault(at, "crash", (one,), lasts=random.choice([0.1, 5.0])),
                        Fault(at, "power", (one,), lasts=5.0),
                        Fault(at, "leave", (one,), lasts=5.0),
                        Fault(at, "pause", (one,), lasts=lasts),
                        Fault(at, "readdress", (one,), value=random.choice([0.0, 2.0])),
                        Fault(at, "hand over", (random.choice([0, 1]),)),
                    ]
                )
            )
            at += random.expovariate(1 / 15.0)
        return faults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=20.0, help="simulated, a repeat (default 20)")
    parser.add_argument("--manner", default="", help="of the unruly worker: " + "; ".join(UNRULY))


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    manner = Manner(options.manner) if options.manner else None
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    trials = list(
        each_in_branch(lambda seed: Trial(seed, plan, options.minutes, manner).run(), seeds, plan.jobs)
    )
    measurement = Measurement("blame", {**plan.parameters(), "minutes": options.minutes})
    calm = [trial for trial in trials if not trial.troubled]
    for kind in UNRULY:
        of_it = [trial for trial in calm if trial.manner is kind]
        if of_it:
            measurement.results[kind.value] = {
                "repeats": len(of_it),
                "served_least": round(min(trial.served for trial in of_it), 4),
                "served_mean": round(sum(trial.served for trial in of_it) / len(of_it), 4),
                "loads_most": max(trial.loads for trial in of_it),
            }
    violations = [f"seed {trial.seed}: {said}" for trial in trials for said in trial.violations]
    measurement.results["innocents"] = violations
    for said in violations[:10]:
        measurement.results[said] = ""
    met = [trial for trial in calm if trial.loads]
    measurement.goals = [
        Goal("served, least share of the time", SERVED, _least(calm), "of the time", at_least=True),
        Goal("named after loads, at most", NAMED, max((one.loads for one in met), default=0), "loads"),
        Goal("unruly workers that were met and not named", 0, sum(not one.named for one in met), "workers"),
        Goal("whole models for one on probation", 0, sum(one.wholes for one in calm), "plans"),
        Goal(f"innocents blamed in {len(trials)} repeats", INNOCENT, len(violations), "members"),
    ]
    return measurement


def _least(trials: list[Blaming]) -> float | None:
    return min((round(trial.served, 4) for trial in trials), default=None)

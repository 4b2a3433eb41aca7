"""``converge``: how many gossip rounds a new fact takes to reach every member."""

from __future__ import annotations

import argparse

from mesh.protocol.base.effects import DeploymentChanged, Event
from mesh.wire.profile import Model
from simulations.measures import theory
from simulations.measures.measurement import Measurement, tail_goal
from simulations.measures.percentiles import summary
from simulations.measures.trials import TrialPlan, repeat
from simulations.world import Host, World

LIMIT = 30.0
_MODEL = Model("news.gguf", 1, bytes(32))


def news(world: World) -> float:
    """A random owner deploys a model; seconds until the last member has heard of it."""
    at: dict[int, float] = {}

    def observe(world: World, host: Host, event: Event) -> None:
        if isinstance(event, DeploymentChanged):
            at.setdefault(host.number, world.now)

    world.observers.append(observe)
    author = world.hosts[world.random.randrange(len(world.hosts))]
    since = world.now
    world.do(author, "deploy", _MODEL, 4096, 1, True, ())
    everyone = len(world.running())
    if not world.run_until(lambda: len(at) == everyone, LIMIT, 0.05):
        return LIMIT
    return max(at.values()) - since


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams lost everywhere")


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    measurement = Measurement("converge", {**plan.parameters(), "loss": options.loss})

    def trial(world: World) -> float:
        world.network.loss = options.loss
        return news(world) / world.settings.gossip_period

    rounds = repeat(plan, trial)
    theirs = theory.rounds_to_all(plan.nodes)
    measurement.results["rounds to all"] = {
        **summary(rounds),
        "closed_form": round(theirs, 3),
        "samples": sorted(round(each, 3) for each in rounds),
    }
    what = f"a new fact everywhere, n={plan.nodes}"
    measurement.goals.append(tail_goal(what, round(1.5 * theirs, 3), rounds, "rounds"))
    return measurement

"""The same trial many times: a pool is built, and every repeat runs in a branch of it with its own seed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from mesh.protocol.base.settings import Settings
from simulations.measures.branches import each_in_branch
from simulations.measures.ready_pool import ready
from simulations.world import World

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """How many members and repeats, from which seed on, how many processes, with which settings."""

    nodes: int
    seeds: int
    first_seed: int = 1
    jobs: int = 1
    settings: Settings = field(default_factory=Settings)
    sharing: int = 10
    """So many repeats start from one pool: each has its own victims, phases and later random numbers."""

    def parameters(self) -> dict[str, object]:
        return {"nodes": self.nodes, "seeds": self.seeds, "first_seed": self.first_seed}


def repeat(plan: TrialPlan, trial: Callable[[World], R]) -> list[R]:
    """What the trial returned from each repeat, in the order of the seeds."""
    return list(_repeat(plan, trial))


def _repeat(plan: TrialPlan, trial: Callable[[World], R]) -> Iterator[R]:
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    sharing = plan.sharing if plan.nodes <= 200 else max(plan.sharing, 50)
    for start in range(0, len(seeds), sharing):
        world = ready(plan.nodes, seeds[start], plan.settings)

        def branch(seed: int, world: World = world) -> R:
            world.reseed(seed)
            world.run(0.5 + world.random.random() * min(3.0, plan.nodes * plan.settings.probe_period))
            return trial(world)

        yield from each_in_branch(branch, seeds[start : start + sharing], plan.jobs)
        # A world is one large cycle; without it, forking the next ones is faster.
        del world, branch
        gc.collect()

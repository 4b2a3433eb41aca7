"""``falsedeaths``: how often a healthy member is held dead by someone when datagrams are lost at random.

The rate is far too small to be seen by waiting, so it is taken apart:

    false deaths = suspicions x P(someone holds the suspect dead | it came to be suspected)

The first factor is counted in pools that run for hours (an episode begins when a member that nobody
suspected is suspected by someone). The second is measured by multilevel splitting (the estimator and its
sources: simulations.measures.splitting). An episode's stages are how little time is left until the first of
those who suspect the member would hold it dead; whoever gets through a stage is copied, by forking the
process, and each copy goes on with random numbers of its own. There are as many copies as pilot episodes say
that about one gets through the next stage (a number that depends on nothing in the tree itself, so nothing is
biased). When nobody suspects the member any more, the branch is over: a later suspicion is another episode,
counted by the first factor. The bound of the product is the product of the bounds, each at 97.5%. Beside it
stands the bound from the hours in which deaths were directly waited for.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulations.measures.branches import each_in_branch, in_branch
from simulations.measures.estimates import rate_upper
from simulations.measures.lab import Lab
from simulations.measures.outcome import Goal, Outcome
from simulations.measures.pool import ready, suspicion_left
from simulations.measures.repeats import Plan
from simulations.measures.splitting import HIT, OUT, THROUGH, Tree, estimate, grow
from simulations.measures.watch import Watch

STAGES = (0.5, 0.42, 0.34, 0.26, 0.18, 0.1, 0.04, 0.0)
"""Seconds left; through the last one goes only who is held dead."""
PILOT = 30
"""Episodes of each pool that are followed without copies, only to choose how many copies the others get."""
MOST_COPIES = 8
STEP = 0.02
EPISODE = 60.0
"""Seconds after which an episode counts as over."""
_EACH = 0.975


@dataclass(slots=True)
class Hours:
    """What one pool showed: member-hours lived, episodes of suspicion, pairs dead, and trees of episodes."""

    node_hours: float = 0.0
    suspicions: int = 0
    deaths: int = 0
    trees: list[Tree] = field(default_factory=list)


def watch_pool(plan: Plan, seed: int, loss: float, hours: float, trees: int) -> Hours:
    """Let one pool live under loss until it has lived its member-hours and grown its trees.

    Hours are direct observation; once they are over, time goes on (and counts) for the trees alone.
    """
    world = ready(plan.nodes, seed, plan.settings)
    world.network.loss = loss
    world.run(10.0)
    watch = Watch(world)
    seen = Hours()
    since = world.now
    need = hours * 3600 / plan.nodes
    grown_at = world.now
    limit = since + max(need, 40 * need if trees else 0.0)
    pilot: list[Tree] = []
    copies = [1] * (len(STAGES) - 1)
    while world.now < since + need or (len(seen.trees) < trees and world.now < limit):
        world.run(STEP)
        if watch.begun and len(seen.trees) < trees and world.now >= grown_at:
            subject = watch.begun[random.Random(seed ^ watch.suspicions).randrange(len(watch.begun))]
            tree = tree_of(world, watch, subject, copies, seed ^ (watch.suspicions << 20))
            (pilot if len(pilot) < min(PILOT, trees) else seen.trees).append(tree)
            if len(pilot) == min(PILOT, trees) and not seen.trees:
                copies = copies_by(pilot)
            grown_at = world.now + 1.0
        watch.begun.clear()
    seen.node_hours = (world.now - since) * plan.nodes / 3600
    seen.suspicions = watch.suspicions
    seen.deaths = sum(watch.deaths.values())
    return seen


def copies_by(pilot: Sequence[Tree]) -> list[int]:
    """How many go on from each stage so that about one of them gets through the next.

    Where the pilot did not get, the last chance that it shows is taken to go on.
    """
    chance, copies = 0.5, []
    for stage in range(1, len(STAGES)):
        tried = sum(tree.tried[stage] for tree in pilot)
        if tried >= 3:
            chance = (sum(tree.through[stage] for tree in pilot) + 0.5) / (tried + 1)
        copies.append(min(MOST_COPIES, max(1, round(1 / chance))))
    return copies


def tree_of(world: Lab, watch: Watch, subject: int, copies: Sequence[int], seed: int) -> Tree:
    """The tree of one episode that has just begun."""
    limit = world.now + EPISODE
    deaths = _deaths(watch, subject)
    id = world.hosts[subject].id

    def advance(world: Lab, stage: int) -> str:
        while True:
            if _deaths(watch, subject) > deaths:
                return HIT
            suspecting = watch.suspected.get(subject)
            if not suspecting or world.now >= limit:
                return OUT
            left = min(suspicion_left(world, world.hosts[number], id) for number in suspecting)
            if stage < len(STAGES) - 1 and left <= STAGES[stage]:
                return THROUGH
            world.run(STEP)

    source = random.Random(seed)

    def root() -> Tree:
        # The copy that is the world itself must not be used up: the first stage, too, runs in a branch.
        world.reseed(source.getrandbits(64))
        return grow(world, len(STAGES), copies, advance, in_branch, Lab.reseed, source)

    return in_branch(root)


def _deaths(watch: Watch, subject: int) -> int:
    return sum(count for (_, of), count in watch.deaths.items() if of == subject)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loss", type=float, action="append", help="share of datagrams lost (0.05 and 0.2)")
    parser.add_argument("--hours", type=float, default=50.0, help="member-hours to watch directly, in all")
    parser.add_argument("--trees", type=int, default=100, help="episodes to split, in all")


def measure(plan: Plan, options: argparse.Namespace) -> Outcome:
    """``--seeds`` is the number of pools, each with its share of hours and trees."""
    losses = options.loss or [0.05, 0.2]
    outcome = Outcome("falsedeaths", {**plan.parameters(), "loss": losses, "hours": options.hours})
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    for loss in losses:
        hours, trees = options.hours / plan.seeds, -(-options.trees // plan.seeds)
        pools = list(
            each_in_branch(
                lambda seed, loss=loss, hours=hours, trees=trees: watch_pool(plan, seed, loss, hours, trees),  # type: ignore[misc]
                seeds,
                plan.jobs,
            )
        )
        told, upper = _together(pools)
        outcome.results[f"{loss:.0%} lost"] = told
        goal = 1e-6 if loss <= 0.05 else 1e-5
        what = f"false deaths, {loss:.0%} lost, n={plan.nodes}: upper 95% bound by splitting"
        outcome.goals.append(Goal(what, goal, upper, "1/node-hour"))
        outcome.goals.append(
            Goal(
                f"false deaths seen in {told['node_hours']} node-hours, {loss:.0%} lost",
                0,
                told["deaths"],
                "pairs",
            )
        )
    return outcome


def _together(pools: list[Hours]) -> tuple[dict[str, Any], float]:
    node_hours = sum(pool.node_hours for pool in pools)
    suspicions = sum(pool.suspicions for pool in pools)
    deaths = sum(pool.deaths for pool in pools)
    found = estimate([tree for pool in pools for tree in pool.trees], _EACH)
    rate = rate_upper(suspicions, node_hours, _EACH)
    upper = rate * found.upper
    told = {
        "node_hours": round(node_hours, 2),
        "suspicions": suspicions,
        "suspicions_per_node_hour": round(suspicions / node_hours, 6),
        "deaths": deaths,
        "direct_upper": rate_upper(deaths, node_hours),
        "trees": found.trees,
        "hits": found.hits,
        "death_given_suspicion": found.probability,
        "standard_error": found.error,
        "death_given_suspicion_upper": found.upper,
        "rate": suspicions / node_hours * found.probability,
        "stages": found.stages,
    }
    return told, upper

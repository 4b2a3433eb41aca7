"""``falsedeaths``: watches pools under loss, follows some of their probes, and makes rates of both."""

from __future__ import annotations

import argparse
import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.protocol.base.settings import Settings
from mesh.protocol.membership import flap_detection
from simulations.measures.branches import each_in_branch, in_branch
from simulations.measures.falsedeaths.confidence import (
    effective,
    mean_upper,
    proportion_upper,
    rate_upper,
    standard_error,
)
from simulations.measures.falsedeaths.episode_watch import EpisodeWatch
from simulations.measures.falsedeaths.episodes import Episode, follow, probes_due
from simulations.measures.measurement import Goal, Measurement
from simulations.measures.ready_pool import ready
from simulations.measures.trials import TrialPlan
from simulations.world import World

SETTLING = 10.0
WINDOW = 0.03
"""Seconds in which the next probes of a pool are counted, and one of them followed."""
APART = 1.0
"""Least seconds between two followed probes."""
ENOUGH = 20
"""Directly counted events from which on an estimate is compared with them."""
AGREE = 3.5
"""Standard errors."""
_MANY = 20
_EACH = 0.975
_STEPS = 2000


@dataclass(frozen=True, slots=True)
class Followed:
    """One followed probe, and how many there were to choose from within the window."""

    among: int
    episode: Episode


@dataclass(slots=True)
class Hours:
    """What one pool showed: member-hours lived, episodes of suspicion and of death, followed probes."""

    nodes: int
    node_hours: float = 0.0
    suspicions: int = 0
    deaths: int = 0
    withdrawn: int = 0
    followed: list[Followed] = field(default_factory=list)


def watch_pool(plan: TrialPlan, seed: int, loss: float, hours: float, probes: int) -> Hours:
    """Let one pool live under loss for so many member-hours, and follow so many of its probes meanwhile."""
    world = ready(plan.nodes, seed, plan.settings)
    world.network.loss = loss
    world.run(SETTLING)
    watch = EpisodeWatch(world)
    source = random.Random(seed)
    seen = Hours(plan.nodes)
    since = world.now
    need = hours * 3600 / plan.nodes
    apart = max(APART, need / max(1, probes))
    while len(seen.followed) < probes:
        # At random, since probes keep their phases: equal steps would find the same hosts due each time.
        world.run(apart * (0.5 + source.random()))
        seen.followed.append(_follow_one(world, watch, source))
    world.run(max(0.0, since + need - world.now))
    seen.node_hours = (world.now - since) * plan.nodes / 3600
    seen.suspicions, seen.deaths = watch.suspicions, watch.killed.total()
    seen.withdrawn = watch.withdrawn
    return seen


def _follow_one(world: World, watch: EpisodeWatch, source: random.Random) -> Followed:
    """Follow one of the probes that are about to begin, in a copy of the world."""
    due = probes_due(world, WINDOW)
    if not due:
        return Followed(0, Episode())
    (host, when), seed = due[source.randrange(len(due))], source.getrandbits(64)
    return Followed(len(due), in_branch(functools.partial(follow, world, watch, host, when, seed)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loss", type=float, action="append", help="share of datagrams lost (0.05 and 0.2)")
    parser.add_argument("--hours", type=float, default=50.0, help="member-hours to watch directly, in all")
    parser.add_argument("--probes", type=int, default=100, help="probes to follow, in all")


def measure(plan: TrialPlan, options: argparse.Namespace) -> Measurement:
    """``--seeds`` is the number of pools, each with its share of hours and probes."""
    losses = options.loss or [0.05, 0.2]
    measurement = Measurement("falsedeaths", {**plan.parameters(), "loss": losses, "hours": options.hours})
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    for loss in losses:
        hours, probes = options.hours / plan.seeds, -(-options.probes // plan.seeds)
        watched = functools.partial(_watched, plan, loss, hours, probes)
        told = together(list(each_in_branch(watched, seeds, plan.jobs)), loss, plan.settings)
        measurement.results[f"{loss:.0%} lost"] = told
        what = f"false deaths, {loss:.0%} lost, n={plan.nodes}"
        measurement.goals += [
            Goal(f"{what}: upper 95% bound, sampled", goal_at(loss), told["sampled_upper"], "1/node-hour"),
            Goal(f"{what}: upper 95% bound, trusting no tilt", goal_at(loss), told["upper"], "1/node-hour"),
            Goal(
                f"{what}: seen in {told['node_hours']} node-hours",
                0,
                told["deaths"] + told["withdrawals"],
                "deaths",
            ),
        ]
        for name in ("suspicions", "deaths"):
            if told[name] >= ENOUGH:
                off = f"{name}, {loss:.0%} lost, n={plan.nodes}: estimate beside {told[name]} counted"
                measurement.goals.append(Goal(off, AGREE, _distance(told, name), "standard errors"))
    return measurement


def goal_at(loss: float) -> float:
    """The most false deaths an hour of one member that are allowed."""
    return 1e-6 if loss <= 0.05 else 1e-5


def _watched(plan: TrialPlan, loss: float, hours: float, probes: int, seed: int) -> Hours:
    return watch_pool(plan, seed, loss, hours, probes)


def together(pools: Sequence[Hours], loss: float, settings: Settings) -> dict[str, Any]:
    """The results of all pools, as rates an hour of one member."""
    node_hours = sum(pool.node_hours for pool in pools)
    counted = {
        "suspicions": sum(pool.suspicions for pool in pools),
        "deaths": sum(pool.deaths for pool in pools),
        "withdrawals": sum(pool.withdrawn for pool in pools),
    }
    each = [
        (one.among * 3600 / (WINDOW * pool.nodes), one.episode) for pool in pools for one in pool.followed
    ]
    begun = [often * episode.suspicion for often, episode in each]
    killing = [often * episode.death for often, episode in each]
    suspicions_upper = rate_upper(counted["suspicions"], node_hours, _EACH)
    if sum(bool(weight) for weight in begun) >= _MANY:
        suspicions_upper = _mean(begun) + 1.96 * standard_error(begun)
    leaving, sampled = withdrawals(loss, settings), mean_upper(killing)
    trials = effective(begun)
    plainly = sum(episode.plainly for _, episode in each)
    chance_upper = proportion_upper(plainly, trials, _EACH)
    return {
        "node_hours": round(node_hours, 2),
        **counted,
        "direct_upper": rate_upper(counted["deaths"] + counted["withdrawals"], node_hours),
        "suspicions_per_node_hour": counted["suspicions"] / node_hours,
        "deaths_per_node_hour": counted["deaths"] / node_hours,
        "probes": len(each),
        "that began a suspicion": sum(bool(weight) for weight in begun),
        "worth": round(trials, 1),
        "suspicions_estimated": _mean(begun),
        "suspicions_error": standard_error(begun),
        "suspicions_upper": suspicions_upper,
        "killed, not tilted": plainly,
        "death_given_suspicion_upper": chance_upper,
        "copies that killed": sum(episode.hits for _, episode in each),
        "deaths_estimated": _mean(killing),
        "deaths_error": standard_error(killing),
        "withdrawals_computed": leaving,
        "sampled_upper": None if sampled is None else sampled + leaving,
        "upper": suspicions_upper * chance_upper + leaving,
    }


def withdrawals(loss: float, settings: Settings) -> float:
    """How often an hour a member withdraws whose losses are those of all others; computed, an upper bound.

    It adds up its own first pings (mesh.protocol.membership.flap_detection). They succeed or fail
    independently, so the sum is a Markov chain. The rate is how often it gets from 0 to the threshold in the
    long run. Once it doubts its link, it probes twice as often: here it always does.
    """
    answered = (1 - loss) ** 2
    top, up, down = flap_detection.THRESHOLD, flap_detection.FAILED_STEP, flap_detection.ANSWERED_STEP
    chances = [1.0, *[0.0] * (top - 1)]
    over = 0.0
    for _ in range(_STEPS):
        before, chances, over = chances, [0.0] * top, 0.0
        for doubt, chance in enumerate(before):
            chances[max(0, doubt + down)] += chance * answered
            if doubt + up < top:
                chances[doubt + up] += chance * (1 - answered)
            else:
                over += chance * (1 - answered)
        chances[0] += over
    return over * 2 * 3600 / settings.probe_period


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / max(1, len(values))


def _distance(told: dict[str, Any], name: str) -> float:
    """The distance between the estimate and the count, in standard errors of both."""
    counted = math.sqrt(told[name]) / told["node_hours"]
    error = math.hypot(counted, told[f"{name}_error"])
    return float(abs(told[f"{name}_estimated"] - told[f"{name}_per_node_hour"]) / error)

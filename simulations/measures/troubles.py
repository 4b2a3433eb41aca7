"""Troubles that are no crash: a process stands still, links lose one way, a link is full of weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from mesh.protocol.membership.peers import MemberState
from simulations.measures.measurement import Goal, Measurement, tail_goal
from simulations.measures.percentiles import summary
from simulations.measures.ready_pool import state_of
from simulations.measures.state_watch import StateWatch
from simulations.measures.trials import TrialPlan, repeat
from simulations.network import LinkFault
from simulations.world import Host, World

WAKING_LIMIT = 30.0
AWAKE_WITHIN = 2.0
FULL_SECONDS = 30.0
LOSSY_SECONDS = 90.0
LOSSY_SHARE = 0.8
REMOVED_WITHIN = 30.0
PAUSED = "pause of 5 s, alive again"
LOSSY = {way: f"{LOSSY_SHARE:.0%} lost on the way {way}" for way in ("in", "out")}
"""The names of results."""
QUEUES = (0.05, 0.2, 0.5)
FULL_RATE = 1e6
"""Bytes a second that the weights leave to others."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What a pause did: deaths of the paused and of others, seconds from waking until all was as before."""

    itself: int
    others: int
    back: float


def pause(world: World, seconds: float) -> Pause:
    """Let one member stand still for so long."""
    watch = StateWatch(world)
    victim = _any(world)
    world.pause(victim, seconds)
    world.run(seconds)
    woke = world.now
    world.run_until(lambda: all_well(world, victim), WAKING_LIMIT, 0.02)
    back = world.now - woke
    world.run(10.0)
    all_of = {host.number for host in world.hosts}
    itself = len(watch.dead({victim.number}, all_of))
    return Pause(itself, len(watch.dead(all_of - {victim.number}, all_of)), back)


def all_well(world: World, victim: Host) -> bool:
    """Whether all hold it alive, and it all others."""
    others = [host for host in world.running() if host is not victim]
    return all(
        state_of(host, victim.id) is MemberState.ALIVE and state_of(victim, host.id) is MemberState.ALIVE
        for host in others
    )


def pauses(plan: TrialPlan, measurement: Measurement) -> None:
    """Measure pauses of one second and of five."""
    short = repeat(plan, lambda world: pause(world, 1.0))
    deaths = sum(bool(trial.itself + trial.others) for trial in short)
    measurement.results["pause of 1 s"] = {"repeats": len(short), "with a death": deaths}
    measurement.goals.append(
        Goal(f"pauses of 1 s with a death, n={plan.nodes}, of {len(short)}", 0, deaths, "repeats")
    )
    long = repeat(plan, lambda world: pause(world, 5.0))
    back = [trial.back for trial in long]
    others = sum(bool(trial.others) for trial in long)
    measurement.results[PAUSED] = {
        **summary(back),
        "samples": sorted(round(each, 3) for each in back),
        "itself held dead": sum(bool(trial.itself) for trial in long),
        "others held dead": others,
    }
    what = f"pauses of 5 s with another held dead, n={plan.nodes}, of {len(long)}"
    measurement.goals.append(Goal(what, 0, others, "repeats"))
    measurement.goals.append(
        tail_goal(f"alive everywhere after a pause of 5 s, n={plan.nodes}", AWAKE_WITHIN, back)
    )


@dataclass(frozen=True, slots=True)
class Lossy:
    """What lossy links did: healthy pairs turned dead, seconds to remove the last bad member, changes."""

    healthy: int
    removed: float
    changes: int
    seen_by_bad: int


def lossy(world: World, bad: int, inward: bool) -> Lossy:
    """Let some members lose most of what comes in, or of what goes out."""
    watch = StateWatch(world)
    victims = world.random.sample(world.hosts, bad)
    numbers = {host.number for host in victims}
    healthy = {host.number for host in world.hosts} - numbers
    links = frozenset(numbers)
    lossy = LinkFault(loss=LOSSY_SHARE)
    way = dataclasses.replace(lossy, targets=links) if inward else dataclasses.replace(lossy, sources=links)
    world.set_faults((way,))
    since = world.now
    gone: dict[int, float] = {}
    while world.now < since + LOSSY_SECONDS:
        world.run(0.1)
        for host in victims:
            if host.number not in gone and len(watch.dead({host.number}, healthy)) == len(healthy):
                gone[host.number] = world.now - since
    changes = [count for (by, of), count in watch.changes.items() if by in healthy and of in numbers]
    removed = max(gone.values()) if len(gone) == bad else LOSSY_SECONDS
    return Lossy(
        len(watch.dead(healthy, healthy)), removed, max(changes, default=0), len(watch.dead(healthy, numbers))
    )


def one_way(plan: TrialPlan, measurement: Measurement) -> None:
    """Measure one to three in a hundred, each way."""
    for inward, way in ((True, "in"), (False, "out")):
        trials: list[Lossy] = []
        for share in (1, 2, 3):
            bad = max(1, round(share * plan.nodes / 100))
            part = _share(plan, (plan.seeds + 3 - share) // 3)
            trials += repeat(part, lambda world, bad=bad, inward=inward: lossy(world, bad, inward))  # type: ignore[misc]
        removed = [trial.removed for trial in trials]
        name = LOSSY[way]
        measurement.results[name] = {
            **summary(removed),
            "samples": sorted(round(each, 3) for each in removed),
            "healthy pairs dead": sum(trial.healthy for trial in trials),
            "most changes": max((trial.changes for trial in trials), default=0),
            "healthy held dead by the bad": sum(trial.seen_by_bad for trial in trials),
        }
        what, dead = f"{name}, n={plan.nodes}", sum(bool(trial.healthy) for trial in trials)
        slowest = f"{what}: the bad removed everywhere, slowest of {len(removed)}"
        changes = max((trial.changes for trial in trials), default=0)
        measurement.goals += [
            Goal(f"{what}: repeats with a healthy one dead, of {len(trials)}", 0, dead, "repeats"),
            Goal(slowest, REMOVED_WITHIN, max(removed), "s"),
            Goal(f"{what}: changes of state that one observer saw", 2, changes, "changes"),
        ]


def full_link(world: World, queue: float) -> int:
    """Fill a member's link: all that comes and goes waits in a queue. Returns how many pairs turned dead."""
    watch = StateWatch(world)
    link = frozenset({_any(world).number})
    full = LinkFault(rate=FULL_RATE, queue=queue)
    world.set_faults((dataclasses.replace(full, sources=link), dataclasses.replace(full, targets=link)))
    world.run(FULL_SECONDS)
    return sum(watch.deaths.values())


def full_links(plan: TrialPlan, measurement: Measurement) -> None:
    """Measure queues from those of a good switch to those of a bad home router."""
    for queue in QUEUES:
        part = _share(plan, -(-plan.seeds // len(QUEUES)))
        run: Callable[[World], int] = lambda world, queue=queue: full_link(world, queue)  # type: ignore[misc] # noqa: E731
        deaths = repeat(part, run)
        name = f"link full, {queue * 1000:g} ms of queue each way"
        measurement.results[name] = {"repeats": len(deaths), "with a death": sum(map(bool, deaths))}
        measurement.goals.append(
            Goal(
                f"{name}, n={plan.nodes}: repeats with a death, of {len(deaths)}",
                0,
                sum(map(bool, deaths)),
                "repeats",
            )
        )


def _share(plan: TrialPlan, seeds: int) -> TrialPlan:
    return TrialPlan(plan.nodes, max(1, seeds), plan.first_seed, plan.jobs, plan.settings, plan.sharing)


def _any(world: World) -> Host:
    return world.hosts[world.random.randrange(len(world.hosts))]

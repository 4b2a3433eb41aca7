"""One trial of one system: agents of a new pool join at once, idle if asked to, and one of them is killed."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from tests.benchmarks import idle
from tests.benchmarks.idle import Idle
from tests.benchmarks.observe import Observation, ask, in_thread, until_all
from tests.benchmarks.systems import Agent, AgentError, System, View
from tests.lab.lab import Lab

START_SECONDS = 120.0
BEFORE_IDLE_SECONDS = 10.0
"""From joined to idle: announcements of a newcomer have died away by then."""

_LIVING = ("alive", "suspect")


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds; ``pause`` is between two questions to one agent, ``limit`` of each observation."""

    nodes: int
    pause: float
    settle: float
    idle: float
    limit: float
    namespaces: bool | None


@dataclass(frozen=True, slots=True)
class Trial:
    """``wrongly`` counts (observer, member) pairs in which a living one was missing or dead at the end."""

    join: Observation
    detection: Observation
    idle: Sequence[Idle]
    wrongly: int


async def run_trial(system: System, settings: Settings, chance: random.Random, with_idle: bool) -> Trial:
    """In a lab of its own. Raises AgentError and NeverSeen."""
    with Lab(settings.namespaces) as lab:
        agents: list[Agent] = [system.start(host) for host in lab.hosts(settings.nodes)]
        await until_up(agents)
        joined = await join_all(agents, settings)
        quiet: list[Idle] = []
        if with_idle:
            await trio.sleep(BEFORE_IDLE_SECONDS)
            quiet = await idle.measure(agents, settings.idle, lab.with_namespaces)
        await trio.sleep(settings.settle)
        victim = chance.choice(agents)
        others = [agent for agent in agents if agent is not victim]
        killed = time.monotonic()
        victim.process.kill()
        detected = await until_all(
            others,
            lambda _, view: view.get(victim.name) == "dead",
            killed,
            settings.pause,
            settings.limit,
        )
        return Trial(joined, detected, quiet, await _wrongly(others))


async def until_up(agents: Sequence[Agent]) -> None:
    """Wait until all answer. Raises AgentError when one has ended, or takes too long."""

    async def wait(agent: Agent) -> None:
        while not await in_thread(agent.is_up):
            if not agent.process.is_running():
                raise AgentError(f"{agent.name} has ended")
            await trio.sleep(0.2)

    with trio.move_on_after(START_SECONDS):
        await _each(agents, wait)
        return
    raise AgentError(f"agents do not start within {START_SECONDS:.0f} s")


async def join_all(agents: Sequence[Agent], settings: Settings) -> Observation:
    """The first founds a pool, the others join at once; from the last one's command to all alive at all."""
    founder, *joiners = agents
    invitation = await in_thread(founder.found)
    names = {agent.name for agent in agents}
    started = []
    ready = trio.Event()

    async def join(agent: Agent) -> None:
        started.append(time.monotonic())
        if len(started) == len(joiners):
            ready.set()
        await in_thread(partial(agent.join, invitation, settings.limit))

    def everybody(_: Agent, view: View) -> bool:
        return {name for name, state in view.items() if state == "alive"} == names

    async with trio.open_nursery() as nursery:
        for agent in joiners:
            nursery.start_soon(join, agent)
        await ready.wait()
        return await until_all(agents, everybody, max(started), settings.pause, settings.limit)


async def _wrongly(observers: Sequence[Agent]) -> int:
    """An observer that does not answer counts as wrong of everybody."""
    names = {agent.name for agent in observers}
    count = 0
    for observer in observers:
        view = await ask(observer)
        count += len(names) if view is None else sum(view.get(name) not in _LIVING for name in names)
    return count


async def _each(agents: Sequence[Agent], do: Callable[[Agent], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        for agent in agents:
            nursery.start_soon(do, agent)

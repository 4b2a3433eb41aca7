"""Watching agents until all of them see the same, without being in their way."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from tests.benchmarks.systems import Agent, AgentError, View
from tests.lab.lab import MAX_HOSTS

T = TypeVar("T")
# One for an agent's command, one for the questions to it.
_THREADS = trio.CapacityLimiter(2 * MAX_HOSTS)
Holds = Callable[[Agent, View], bool]


class NeverSeen(Exception):
    """What was waited for did not come about within the limit at the agents that the text names."""


@dataclass(frozen=True, slots=True)
class Observation:
    """When the last agent saw it, and when the one in the middle did, in seconds from the given start.

    The last had answered otherwise, or was not yet asked, ``blur`` seconds before: the truth lies within.
    """

    seconds: float
    middle: float
    blur: float


async def until_all(
    agents: Sequence[Agent], holds: Holds, since: float, pause: float, limit: float
) -> Observation:
    """Asks each agent every ``pause`` seconds until ``holds(agent, its view)``, then once more all at once.

    ``since`` is of time.monotonic(). An agent that holds is left alone until that last question; should it
    then have changed its mind, the watch goes on. Raises NeverSeen after ``limit`` seconds.
    """
    seen: dict[str, tuple[float, float]] = {}
    pending = list(agents)
    with trio.move_on_after(limit):
        while pending:
            async with trio.open_nursery() as nursery:
                for number, agent in enumerate(pending):
                    delay = pause * number / len(pending)
                    nursery.start_soon(_watch, agent, holds, since, pause, delay, seen)
            pending = await _not_holding(agents, holds)
            for agent in pending:
                del seen[agent.name]
        last, blur = max(seen.values())
        return Observation(last, statistics.median(seconds for seconds, _ in seen.values()), blur)
    missing = [agent.name for agent in agents if agent.name not in seen]
    raise NeverSeen(f"not within {limit:g} s at {', '.join(missing) or 'all of them at once'}")


async def in_thread(function: Callable[[], T]) -> T:
    """Calls something that blocks; all agents may be waited for at once, and nobody waits for a thread."""
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=_THREADS)


async def ask(agent: Agent) -> View | None:
    """The agent's view, None where it does not answer."""
    try:
        return await in_thread(agent.view)
    except AgentError:
        return None


async def _watch(
    agent: Agent,
    holds: Holds,
    since: float,
    pause: float,
    delay: float,
    seen: dict[str, tuple[float, float]],
) -> None:
    """Notes when ``holds`` became true, and how long after another answer (or none yet) that was."""
    before = time.monotonic()
    await trio.sleep(delay)
    while True:
        view = await ask(agent)
        now = time.monotonic()
        if view is not None and holds(agent, view):
            seen[agent.name] = now - since, now - before
            return
        before = now
        await trio.sleep(pause)


async def _not_holding(agents: Sequence[Agent], holds: Holds) -> list[Agent]:
    """Those of the agents that ``holds`` is not true of, asked all at once."""
    failing: list[Agent] = []

    async def look(agent: Agent) -> None:
        view = await ask(agent)
        if view is None or not holds(agent, view):
            failing.append(agent)

    async with trio.open_nursery() as nursery:
        for agent in agents:
            nursery.start_soon(look, agent)
    return failing

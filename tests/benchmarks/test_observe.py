import time

import psutil
import pytest

from tests.benchmarks.observe import NeverSeen, until_all
from tests.benchmarks.systems import Agent, AgentError, View

PAUSE = 0.001


class Scripted:
    """An agent whose answers are given; the last one is repeated, None is a failure to answer."""

    def __init__(self, name: str, *answers: View | None) -> None:
        self.name = name
        self.process = psutil.Process()
        self.asked = 0
        self._answers = answers

    def is_up(self) -> bool:
        return True

    def found(self) -> str:
        return ""

    def join(self, invitation: str, seconds: float) -> None:
        pass

    def view(self) -> View:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if answer is None:
            raise AgentError(self.name)
        return answer


ALIVE, DEAD = {"x": "alive"}, {"x": "dead"}


def is_dead(agent: Agent, view: View) -> bool:
    return view["x"] == "dead"


async def test_the_watch_ends_with_the_last_agent_and_then_asks_all_once_more() -> None:
    quick, slow = Scripted("quick", DEAD), Scripted("slow", ALIVE, ALIVE, DEAD)
    observation = await until_all([quick, slow], is_dead, time.monotonic(), PAUSE, 10)
    assert (quick.asked, slow.asked) == (2, 4)
    assert 2 * PAUSE <= observation.seconds < 10


async def test_the_middle_is_the_time_of_the_agent_in_the_middle() -> None:
    agents = [Scripted("a", DEAD), Scripted("b", ALIVE, DEAD), Scripted("c", *[ALIVE] * 200, DEAD)]
    observation = await until_all(agents, is_dead, time.monotonic(), PAUSE, 10)
    assert PAUSE <= observation.middle <= observation.seconds - 100 * PAUSE


async def test_the_blur_is_the_time_since_the_agent_last_said_otherwise() -> None:
    since = time.monotonic() - 100
    observation = await until_all([Scripted("a", ALIVE, DEAD)], is_dead, since, PAUSE, 10)
    assert observation.seconds > 100
    assert PAUSE <= observation.blur < 10


async def test_an_agent_that_changes_its_mind_is_watched_on() -> None:
    fickle = Scripted("fickle", DEAD, ALIVE, ALIVE, DEAD)
    await until_all([fickle, Scripted("steady", DEAD)], is_dead, time.monotonic(), PAUSE, 10)
    assert fickle.asked == 5


async def test_an_agent_that_does_not_answer_has_not_seen_it_yet() -> None:
    mute = Scripted("mute", None, None, DEAD)
    await until_all([mute], is_dead, time.monotonic(), PAUSE, 10)
    assert mute.asked == 4


async def test_a_watch_in_vain_names_who_did_not_see_it() -> None:
    agents = [Scripted("sees", DEAD), Scripted("does-not", ALIVE)]
    with pytest.raises(NeverSeen, match=r"not within 0.1 s at does-not$"):
        await until_all(agents, is_dead, time.monotonic(), PAUSE, 0.1)

import random
import sys

import psutil
import pytest

from tests.benchmarks.observe import NeverSeen
from tests.benchmarks.systems import Agent, AgentError, View
from tests.benchmarks.trial import Settings, run_trial
from tests.lab.host import Host

SETTINGS = Settings(nodes=3, pause=0.01, settle=0.01, idle=0.01, limit=20, namespaces=False)
PROGRAM = [sys.executable, "-c", "import signal; signal.pause()"]


class Toy:
    """Agents that know of each other through this object; ``blind`` ones never hold anybody dead."""

    name = version = settings = "toy"

    def __init__(self, blind: tuple[str, ...] = (), wrong: tuple[str, ...] = (), refuse: str = "") -> None:
        self.agents: list[ToyAgent] = []
        self.blind, self.wrong, self.refuse = blind, wrong, refuse

    def start(self, host: Host) -> Agent:
        agent = ToyAgent(host, self)
        self.agents.append(agent)
        return agent


class ToyAgent:
    def __init__(self, host: Host, toy: Toy) -> None:
        self.name = host.name
        self.process = psutil.Process(host.popen(PROGRAM).pid)
        self.joined = False
        self._toy = toy

    def is_up(self) -> bool:
        return self.lives()

    def found(self) -> str:
        self.joined = True
        return "come in"

    def join(self, invitation: str, seconds: float) -> None:
        if self.name == self._toy.refuse or invitation != "come in":
            raise AgentError(f"{self.name} may not join")
        self.joined = True

    def view(self) -> View:
        def state(agent: "ToyAgent") -> str:
            if agent.lives():
                # The wrong ones bury the living along with the dead.
                everybody_lives = all(other.lives() for other in self._toy.agents)
                return "dead" if self.name in self._toy.wrong and not everybody_lives else "alive"
            return "suspect" if self.name in self._toy.blind else "dead"

        return {agent.name: state(agent) for agent in self._toy.agents if agent.joined}

    def lives(self) -> bool:
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE


async def test_a_trial_kills_one_agent_and_waits_for_all_others_to_notice() -> None:
    toy = Toy()
    trial = await run_trial(toy, SETTINGS, random.Random(1), with_idle=False)
    assert trial.join.seconds > 0
    assert trial.detection.seconds > 0
    assert (trial.idle, trial.wrongly) == ([], 0)
    assert len(toy.agents) == 3


async def test_agents_are_looked_at_idle_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.trial.BEFORE_IDLE_SECONDS", 0.0)
    trial = await run_trial(Toy(), SETTINGS, random.Random(1), with_idle=True)
    assert len(trial.idle) == 3


async def test_living_agents_that_are_held_dead_are_counted() -> None:
    toy = Toy(wrong=("anna", "bert", "cara"))
    trial = await run_trial(toy, SETTINGS, random.Random(1), with_idle=False)
    assert trial.wrongly == 4, "two observers are each wrong of both"


async def test_an_agent_that_never_notices_fails_the_trial() -> None:
    settings = Settings(nodes=3, pause=0.01, settle=0.01, idle=0.01, limit=0.5, namespaces=False)
    with pytest.raises(NeverSeen):
        await run_trial(Toy(blind=("anna", "bert", "cara")), settings, random.Random(1), with_idle=False)


async def test_an_agent_that_cannot_join_fails_the_trial() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(AgentError, match="bert may not join")):
        await run_trial(Toy(refuse="bert"), SETTINGS, random.Random(1), with_idle=False)

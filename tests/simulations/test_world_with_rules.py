"""Hypothesis lets faults strike a pool one by one: what it finds, it makes as short as it can."""

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.wire.facts import Deployment
from mesh.wire.rights import ALL_RIGHTS
from simulations.checkers import Checkers, disagreement
from simulations.checkers.settled import unserved
from simulations.faults import Fault, Storm
from simulations.leading import Serving
from simulations.population import CONTEXT, SLOTS, Population, Trait
from simulations.world import World

HOSTS = 4
AGREE, SERVE = 60.0, 60.0
"""Seconds within which the pool must be one again, and serve again, once nothing is wrong any more."""

hosts = st.integers(0, HOSTS - 1)
times = st.sampled_from([0.0, 0.3, 2.0, 15.0])
values = st.sampled_from([0.0, 0.5, 2.0, 20.0])


class Shaken(RuleBasedStateMachine):
    """Four hosts that own, lead and work, and serve a model that no two of them can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(11)
        self.pool = Population(
            self.world, [Trait(ALL_RIGHTS, 50 - n, 90, (0, 1), 1.0, 0.0) for n in range(HOSTS)]
        )
        self.serving = Serving(self.world, self.pool.shapes)
        self.checkers = Checkers(self.world, self.serving)
        self.storm = Storm(
            self.world, self.pool, self.serving, None, self.checkers.excuses, lambda text: None
        )
        self.world.found(self.world.hosts[0])
        for host in self.world.hosts[1:]:
            self.pool.start(host)
        self.world.run(3.0)
        self.world.do(self.world.hosts[0], "deploy", self.pool.models[0], CONTEXT, SLOTS, True)

    def deployments(self) -> set[Deployment | None]:
        """What the running members hold for the deployment."""
        return {host.node.deployment() for host in self.world.hosts if host.node is not None}

    def strike(self, kind: str, *some: int, value: float = 0.0, lasts: float = 0.0) -> None:
        others = tuple(number for number in range(HOSTS) if number not in some)
        self.storm.strike([Fault(0.0, kind, some, others, value, lasts)])
        self.world.run(0.0)

    @rule(host=hosts, kind=st.sampled_from(["crash", "power", "leave"]), lasts=times)
    def ends(self, host: int, kind: str, lasts: float) -> None:
        self.strike(kind, host, lasts=lasts)

    @rule(host=hosts, seconds=values, lasts=times)
    def starts_from_an_older_disk(self, host: int, seconds: float, lasts: float) -> None:
        self.strike("roll back", host, value=seconds, lasts=lasts)

    @rule(host=st.integers(1, HOSTS - 1), lasts=times)
    def loses_its_disk(self, host: int, lasts: float) -> None:
        self.strike("wipe", host, lasts=lasts)

    @rule(host=hosts, lasts=times)
    def stands_still(self, host: int, lasts: float) -> None:
        self.strike("pause", host, lasts=lasts)

    @rule(host=hosts, seconds=values)
    def sees_its_clock_leap(self, host: int, seconds: float) -> None:
        self.strike("jump", host, value=seconds)

    @rule(some=st.sets(hosts, min_size=1, max_size=3), lasts=times)
    def are_cut_off(self, some: set[int], lasts: float) -> None:
        self.strike("partition", *sorted(some), lasts=lasts)

    @rule(some=st.sets(hosts, min_size=1, max_size=3), lasts=times)
    def are_not_heard(self, some: set[int], lasts: float) -> None:
        self.strike("one way", *sorted(some), lasts=lasts)

    @rule(some=st.sets(hosts, min_size=1, max_size=2), notices_after=times)
    def get_other_addresses(self, some: set[int], notices_after: float) -> None:
        self.strike("readdress", *sorted(some), value=notices_after)

    @rule(host=hosts, kind=st.sampled_from(["hand over", "engine", "stop engine"]))
    def is_used(self, host: int, kind: str) -> None:
        self.strike(kind, host)

    @rule(host=hosts, value=st.integers(0, 2))
    def deploys(self, host: int, value: int) -> None:
        self.strike("deploy", host, value=value)

    @rule(seconds=st.sampled_from([0.05, 1.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @invariant()
    def nothing_is_violated(self) -> None:
        assert self.checkers.violations == []

    def teardown(self) -> None:
        """Nothing is wrong any more: everyone is back, and finds the others by looking around.

        Of two deployments that do not know of each other either may stand: the last one comes after the news.
        """
        world, everyone = self.world, self.world.hosts
        self.storm.end()
        for host in everyone:
            world.resume(host)
            if host.node is None:
                self.pool.start(host)
        for host in everyone:
            if host.node is not None:
                world.do(host, "add_seeds", [other.address for other in everyone if other is not host])
        assert world.run_until(lambda: not disagreement(world), AGREE, 0.25), disagreement(world)
        assert world.run_until(lambda: len(self.deployments()) == 1, AGREE, 0.25), self.deployments()
        world.do(everyone[0], "deploy", self.pool.models[0], CONTEXT, SLOTS, True)
        world.run(1.0)
        assert world.run_until(lambda: not unserved(self.serving, everyone), SERVE, 0.25)
        assert self.checkers.violations == []


TestShaken = Shaken.TestCase
# To explain what it found it would trace each line of a world: minutes, in which the test would time out.
TestShaken.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, phases=set(Phase) - {Phase.explain}
)

"""Random faults from a seed, judged by checkers: a storm, healing around a core, calm; again and again.

After each storm the run makes a random core of hosts whole (as TigerBeetle's VOPR does). It switches the rest
off for good, until the next storm: the core holds what it needs in order to serve, and nothing else. Then the
pool must be one again, serve again, and fall quiet, each within a stated time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from leader.reconcile.decide import ASKING
from leader.reconcile.rebalance import DRAIN
from mesh.protocol.base.effects import Event, MembersChanged
from mesh.protocol.base.settings import Settings
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from simulations.checkers import Checkers
from simulations.checkers.settled import (
    disagreement,
    form_limit,
    lawless,
    misformed,
    unlike,
    unrest,
    unserved,
    views,
)
from simulations.faults import Fault, Storm
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.liars import Lies
from simulations.population import CONTEXT, SLOTS, Population, Trait, traits
from simulations.programs import MIXES, PRESENT, Program
from simulations.schedule import families, schedule, settings
from simulations.world import World

AGREE_LIMIT = 60.0
"""Seconds after healing until every member must see one pool with one leader."""
_CLAIM_LIMIT = 12.0
"""Seconds that an election may take once the last of those that are gone was found dead."""
_DEPLOY_LIMIT = 60.0
"""Seconds within which an owner's deployment prevails."""
SERVE_LIMIT = 60.0
"""Seconds from then until the deployment must be served."""
_SETTLING = 8.0
"""Seconds that what began under faults (a probe with all its patience, a suspicion) may take to end."""
_SETTLINGS = 5
"""How often that is granted: each thing that ends may let another one begin."""
_MOVE_LIMIT = ASKING + DRAIN + 10.0
"""Seconds: a requested move waits for leases, then for answers; then the model is loaded again."""
CALM = 10.0
_NEWS_LIMIT = 2.0
"""Seconds within which everything that a member says even in calm, as of a move, is everywhere."""
CALM_BYTES = 3000.0
"""Most bytes a second that a host of a calm pool may send: probes, leases, and hardly anything else."""
_LOOK_AGAIN = 15.0
"""Seconds within which a host that got another address unnoticed searches for members again."""
_QUARANTINE = (5.0, 20.0)
"""Seconds that the first quarantine of a device lasts, and the longest: healing waits for it."""
_ROUND = 150.0
_STORM = 90.0
CURVES_EVERY = 200
"""Every so many seeds sign with Ed25519, which takes as long as six others."""


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """All that a seed decides up front."""

    seed: int
    settings: Settings
    traits: tuple[Trait, ...]
    families: tuple[str, ...]
    delay: float
    present: int
    """How many of the hosts exist from the beginning."""
    rounds: tuple[tuple[Fault, ...], ...]
    cores: tuple[tuple[int, ...], ...]
    """For each round the hosts in the order in which they enter the core, and how many at least."""
    programs: tuple[Program, ...] = (PRESENT,)
    """The programs that hosts run, the older first; two where the family ``upgrades`` is among the drawn."""

    @property
    def every(self) -> list[Fault]:
        """The faults of all rounds; a fault's number is its place among them."""
        return [fault for faults in self.rounds for fault in faults]


def plan(seed: int, nodes: int | None = None, minutes: float = 10.0) -> ChaosPlan:
    """What happens in that seed's run: 5 to 9 hosts unless ``nodes`` says how many."""
    random = Random(seed ^ 0x5EED)
    count = nodes or random.randrange(5, 10)
    tuned = settings(random)
    chosen = families(random)
    liars = random.choice([1, 1, 2]) if "lies" in chosen and count > 3 else 0
    programs = random.choice(MIXES) if "upgrades" in chosen else (PRESENT,)
    hosts = traits(random, count, liars, tuned.drift, programs)
    liar_numbers = tuple(range(count - liars, count))
    seconds = 60.0 * minutes
    rounds = max(1, round(seconds / _ROUND))
    length = _STORM if rounds > 1 else min(_STORM, 0.6 * seconds)
    return ChaosPlan(
        seed,
        tuned,
        hosts,
        chosen,
        random.choice([0.0005, 0.0005, 0.005, 0.03]),
        random.randrange(min(3, count), count + 1),
        tuple(tuple(schedule(random, count, liar_numbers, length, chosen)) for _ in range(rounds)),
        tuple((random.randrange(1, count + 1), *random.sample(range(count), count)) for _ in range(rounds)),
        programs,
    )


def doubt_limit(settings: Settings) -> float:
    """Seconds after healing until a member that fully doubts its link and is left alone must lead.

    Each failed probe slows the next one. In a large pool its suspicions last as much longer, as it is alone
    in them. By the default settings :data:`AGREE_LIMIT` covers that; by those of some seeds it does not.
    """
    doubt = 1 + settings.max_local_health
    probes = settings.probe_period * doubt * (doubt + 1) / 2 + settings.probe_timeout * doubt
    return probes + settings.suspicion_timeout * settings.suspicion_timeout_stretch * doubt + _CLAIM_LIMIT


@dataclass(slots=True)
class ChaosOutcome:
    """What became of one seed; times in seconds after each healing."""

    seed: int
    nodes: int
    events: int = 0
    simulated: float = 0.0
    rounds: int = 0
    """Storms that began, ..."""
    calm: int = 0
    """... and after how many of them everything that can be judged was judged."""
    agreed_after: list[float] = field(default_factory=list)
    served_after: list[float] = field(default_factory=list)
    digest: str = ""
    cpu_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class Chaos:
    """One run of a plan, or of the faults whose number (over all rounds) is in ``only``."""

    def __init__(
        self, plan: ChaosPlan, only: Collection[int] | None = None, trace: Callable[[str], None] | None = None
    ) -> None:
        self.plan = plan
        self._only = only
        self._trace = trace
        self.world = world = World(plan.seed, plan.settings, curves=plan.seed % CURVES_EVERY == 0)
        world.network.delay = world.network.jitter = plan.delay
        self.pool = Population(world, plan.traits, plan.programs)
        self.serving = Serving(world, self.pool.shapes, _QUARANTINE)
        self.checkers = Checkers(world, self.serving, plan.families)
        self.outcome = ChaosOutcome(plan.seed, len(plan.traits))
        lying = any(trait.liar for trait in plan.traits)
        self._lies = Lies(world, plan.seed, self.checkers.excuses.liars) if lying else None
        world.on_start.append(self._started)
        if trace is not None:
            world.observers.append(self._trace_event)

    def run(self) -> ChaosOutcome:
        """Found and fill a pool, then storm and heal in turn until something is wrong or all is done."""
        world, plan = self.world, self.plan
        founder = world.hosts[0]
        world.found(founder)
        world.run(1.0)
        for host in world.hosts[1 : plan.present]:
            self.pool.start(host)
        world.run(2.0)
        world.do(founder, "deploy", self.pool.models[0], CONTEXT, SLOTS, True)
        first = 0
        for number, faults in enumerate(plan.rounds):
            kept = [f for i, f in enumerate(faults, first) if self._only is None or i in self._only]
            first += len(faults)
            self._round(number, kept)
            if self.checkers.violations or self.outcome.violations:
                break
        self.outcome.violations += self.checkers.violations
        self.outcome.events, self.outcome.simulated = world.events, world.now
        self.outcome.digest = world.digest()
        return self.outcome

    def _started(self, host: Host) -> None:
        if self.pool.trait(host).liar:
            self.checkers.excuses.liars.add(host.id)

    def _round(self, number: int, faults: list[Fault]) -> None:
        world = self.world
        self._note(f"storm {number + 1}")
        self.outcome.rounds += 1
        if self.checkers.deaths is not None:
            self.checkers.deaths.watches = number == 0
        storm = Storm(world, self.pool, self.serving, self._lies, self.checkers.excuses, self._note)
        storm.strike(faults)
        for host in world.hosts[: self.plan.present] if number else ():
            if host.node is None:
                self.pool.start(host)
        world.run(_STORM if len(self.plan.rounds) > 1 else max((f.at for f in faults), default=0.0) + 1.0)
        storm.end()
        self._heal(*self.plan.cores[number])

    # --- healing

    def _heal(self, least: int, *order: int) -> None:
        """Make a core whole, switch the rest off, and judge whether the pool comes together."""
        deaths = self.checkers.deaths
        if deaths is not None:
            deaths.watches = False
        world = self.world
        core = self._core(least, order)
        self._note(f"healed around {' '.join(f'host{host.number}' for host in core)}")
        for host in world.hosts:
            world.resume(host)
            if host in core and host.node is not None and world.is_disputed(host.id):
                world.crash(host)
            if host not in core and not self._is_to_go(host, core):
                if host.node is not None:
                    world.crash(host, silent=host.number % 2 == 0)
                host.run += 1
        # Only now: a member that was admitted by a host that is then switched off at once is known to none.
        for host in core:
            if host.node is None:
                self.pool.start(host)
        self._look_around(core)
        world.at(world.now + _LOOK_AGAIN, lambda: self._look_around(core))
        self._evict_liars(core)
        liars = frozenset(self.checkers.excuses.liars)
        honest = [host for host in core if not self.pool.trait(host).liar]
        if not honest:
            return  # all that were there may have been evicted: none can tell which should be there now
        since = world.now
        if not self._agree(core, honest, liars):
            self._fail(f"after healing for {world.now - since:.0f} s: {self._apart(core, liars)}")
            return
        self.outcome.agreed_after.append(world.now - since)
        if not self._able(core):
            return
        if not self._deploy(honest):
            return
        since = world.now
        if not world.run_until(lambda: not unserved(self.serving, honest), SERVE_LIMIT, 0.25):
            self._fail(f"not served {SERVE_LIMIT:.0f} s after: {unserved(self.serving, honest)}")
            return
        self.outcome.served_after.append(world.now - since)
        self._settle(honest, liars)
        if not world.run_until(lambda: not misformed(world, honest, liars), form_limit(world.settings), 0.25):
            self._fail(f"agreed, but {misformed(world, honest, liars)}")
        said = unrest(self.serving, honest, liars, CALM, CALM_BYTES)
        self.checkers.bounds.calm()
        for what in said:
            self._fail(f"no calm: {what}")
        if not world.run_until(lambda: not unlike(honest), _NEWS_LIMIT, 0.1):
            self._fail(f"no calm: {unlike(honest)}")
        world.run_until(lambda: not unserved(self.serving, honest), _MOVE_LIMIT, 0.25)
        outlaws = self.pool.outlaws(honest)
        for why in (
            self._apart(core, liars),
            unserved(self.serving, honest),
            lawless(honest, outlaws),
            misformed(world, honest, liars),
        ):
            if why:
                self._fail(f"no calm: {why}")
        self.outcome.calm += 1

    def _agree(self, core: list[Host], honest: list[Host], liars: frozenset[NodeId]) -> bool:
        """Let them come together; longer only while a member lawfully waits for those that are gone."""
        world, agreed = self.world, lambda: not self._apart(core, liars)
        if world.run_until(agreed, AGREE_LIMIT, 0.25):
            return True
        doubtful = any(host.node is not None and host.node.inspect().waits_in_doubt() for host in honest)
        return doubtful and world.run_until(agreed, doubt_limit(world.settings) - AGREE_LIMIT, 0.25)

    def _look_around(self, core: list[Host]) -> None:
        for host in self._unacquainted(core):
            self.world.do(host, "add_seeds", [other.address for other in core if other is not host])

    def _unacquainted(self, core: list[Host]) -> list[Host]:
        """The hosts that no chain of acquaintances ties to the first of the core: discovery must find them.

        A host is one if only its sponsor knew it, and that forgot it or is gone. So is a host that got
        another address while none could hear of it.
        """
        there = [host for host in core if host.node is not None]
        tied = there[:1]
        for host in tied:
            tied += [other for other in there if other not in tied and _are_acquainted(host, other)]
        return [host for host in there if host not in tied]

    def _is_to_go(self, host: Host, core: list[Host]) -> bool:
        """Whether it lies with the rights of a leader or an owner: then it keeps running, and is evicted."""
        trait = self.pool.trait(host)
        powerful = trait.liar and bool(trait.rights & (Rights.LEAD | Rights.OWN))
        return powerful and host.node is not None and host not in core

    def _evict_liars(self, core: list[Host]) -> None:
        """Let an owner of the core evict the liars with more than the right to work, or switch them off."""
        owner = next((h for h in core if self.pool.may_vouch(h) and h.node is not None), None)
        for host in self.world.hosts:
            if not self._is_to_go(host, core):
                continue
            if owner is None or not self._evicts(owner, host.id):
                self.world.crash(host)

    def _settle(self, honest: list[Host], liars: frozenset[NodeId]) -> None:
        """Wait until nothing has changed for a while; a host that keeps changing is judged at the time limit.

        A member that the storm cut off too much may stay quarantined for a while after it agrees with all
        others. And it takes a while to find dead all the members that a liar had vouched for.
        """
        for _ in range(_SETTLINGS):
            before = views(honest)
            self.world.run(_SETTLING)
            if views(honest) == before and not disagreement(self.world, honest, liars):
                return

    def _apart(self, core: list[Host], liars: frozenset[NodeId]) -> str:
        missing = [host.number for host in core if host.node is None]
        return f"host{missing[0]} could not join" if missing else disagreement(self.world, core, liars)

    def _core(self, least: int, order: tuple[int, ...]) -> list[Host]:
        """At least so many hosts, and as many more as owning, leading and serving take."""
        core: list[Host] = []
        for number in order:
            host = self.world.hosts[number]
            trait = self.pool.trait(host)
            sure = self.pool.is_member(host) and not self.world.is_disputed(host.id)
            welcome = sure or any(self.pool.may_vouch(owner) for owner in core)
            if welcome and not (trait.liar and trait.rights & (Rights.LEAD | Rights.OWN)):
                core.append(host)
            if len(core) >= least and self._able(core):
                break
        return core

    def _able(self, core: list[Host]) -> bool:
        honest = [host for host in core if not self.pool.trait(host).liar]
        owned = any(self.pool.may_vouch(host) for host in honest)
        return owned and any(self.pool.served_by(honest, model) for model in self.pool.models)

    def _deploy(self, core: list[Host]) -> bool:
        """Let an owner of the core deploy what the core can serve, until all there hold that deployed.

        A deployment that another owner made while cut off may arrive only now. False when liars prevent it.
        """
        honest_models = [model for model in self.pool.models if self.pool.served_by(core, model)]
        owner = next(host for host in core if self.pool.may_vouch(host) and host.node is not None)
        until = self.world.now + _DEPLOY_LIMIT
        while self.world.now < until:
            self.world.run(1.0)
            now = self._deployed(core)
            if now is not None and now.running and now.model in honest_models:
                return True
            try:
                self.world.do(owner, "deploy", honest_models[0], CONTEXT, SLOTS, True)
            except MeshError:  # a liar used up the numbers
                if now is None or not self._evicts(owner, now.author):
                    return False
        self._fail(f"host{owner.number} deploys in vain for {_DEPLOY_LIMIT:.0f} s")
        return False

    def _evicts(self, owner: Host, subject: NodeId) -> bool:
        try:
            self.world.evict(owner, subject)
        except MeshError:  # it was evicted before, or it vouched for this owner
            return False
        return True

    def _deployed(self, core: list[Host]) -> Deployment | None:
        every = [host.node.deployment() for host in core if host.node is not None]
        return max((d for d in every if d is not None), key=lambda d: (d.number, d.author), default=None)

    # --- what is said

    def _fail(self, what: str) -> None:
        self.outcome.violations.append(f"{self.world.now:.3f} settled: {what}")

    def _note(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.world.now:9.3f} ** {text}")

    def _trace_event(self, world: World, host: Host, event: Event) -> None:
        if self._trace is not None and not isinstance(event, MembersChanged):
            self._trace(f"{world.now:9.3f} host{host.number} {describe(world, event)}")


def _are_acquainted(one: Host, other: Host) -> bool:
    """Whether one of the two holds the other for a member, and knows or greets its address."""
    return any(
        a.node is not None
        and b.id in (inside := a.node.inspect()).roster()
        and b.address in (*inside.endpoints(b.id), *inside.hello_targets())
        for a, b in ((one, other), (other, one))
    )


def describe(world: World, event: Event) -> str:
    """An event in one line, hosts by number."""
    name = type(event).__name__
    claim = getattr(event, "claim", None)
    if hasattr(event, "claim"):
        return (
            f"{name} host{world.host_of(claim.author).number} term {claim.term}"
            if claim
            else f"{name} nobody"
        )
    if hasattr(event, "held"):
        return f"{name} {sorted(world.host_of(id).number for id in event.held)}"
    if hasattr(event, "state"):
        return f"{name} {event.state.phase} {event.state.reason}"
    if hasattr(event, "deployment"):
        deployment = event.deployment
        return f"{name} {deployment.number} {deployment.model.name} running={deployment.running}"
    return f"{name} {getattr(event, 'text', '')}".rstrip()

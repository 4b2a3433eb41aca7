"""Terms rise: one claim for each (term, author), and no node claims lower than before, across restarts."""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.effects import Event, LeaderChanged
from mesh.protocol.node.node import Node
from mesh.wire import codec
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from simulations.checkers.setbacks import Setbacks, stored
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "terms"


class Terms:
    """Follows every claim that any Node holds for the leader's."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses, setbacks: Setbacks) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._setbacks = setbacks
        self._claims: dict[tuple[NodeId, int], set[Claim]] = {}
        self._own: dict[NodeId, int] = {}
        self._runs: dict[tuple[NodeId, int], set[int]] = {}
        self._generations: dict[NodeId, int] = {}
        self._started: dict[NodeId, float] = {}
        self._read: dict[NodeId, int] = {}
        """How many of its disk's writes were checked."""
        world.on_start.append(lambda host: self._started.update({host.id: world.now}))
        world.observers.append(self._observe)
        world.on_start.append(lambda host: world.on(host, world.now, partial(self._incarnated, host)))
        setbacks.listeners.append(self._set_back)

    def scan(self) -> None:
        """Check every term that was stored since the last look."""
        for host in self._world.running():
            if host.id not in self._excuses.liars:
                self._scan_leaps(host)

    def _scan_leaps(self, host: Host) -> None:
        """No single message takes a Node further than one claim may leap: at first the Node refuses it.

        A term that it forgot it accepts by its own claim, which no other member can forge.
        """
        assert host.node is not None
        written = host.disk.written
        noted = [
            (when, before) for when, key, before in written[self._read.get(host.id, 0) :] if key == "term"
        ]
        self._read[host.id] = len(written)
        terms = [0 if before is None else codec.unpack(before, 16)[0] for _, before in noted]
        terms.append(stored(host, "term"))
        for (when, _), before, after in zip(noted, terms, terms[1:], strict=False):
            leaps = after - before > self._world.settings.max_term_jump
            known = when < self._started.get(host.id, 0.0) or self._setbacks.times(host.id, after)
            if leaps and not known and not _refused_claims(host.node):
                self._say(f"host{host.number} leaps from term {before} to {after} at the first claim of it")

    def _set_back(self, host: Host) -> None:
        """It may claim once more what it forgot; but it continues from what its disk says."""
        self._own[host.id] = stored(host, "term")
        self._generations[host.id] = stored(host, "incarnation")

    def _incarnated(self, host: Host) -> None:
        """A process of that host has started: never in a generation that its disk knew before."""
        assert host.node is not None
        generation, before = host.node.generation, self._generations.get(host.id, 0)
        if generation <= before:
            self._say(f"host{host.number} starts in generation {generation} after {before}")
        self._generations[host.id] = max(before, generation)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not isinstance(event, LeaderChanged) or event.claim is None:
            return
        claim = event.claim
        author = world.host_of(claim.author)
        if host.node is not None and Rights.LEAD not in host.node.rights(claim.author):
            self._say(f"host{host.number} follows host{author.number}, which may not lead")
        if claim.author in self._excuses.liars:
            return
        known = self._claims.setdefault((claim.author, claim.term), set())
        known.add(claim)
        # A node that forgot a term claims it once more, until it hears that it did so before.
        if len(known) > 1 + self._setbacks.times(claim.author, claim.term):
            self._say(f"{_counted(known)} claims of host{author.number} for term {claim.term}")
        if claim.author == host.id:
            self._claimed(host, claim)

    def _claimed(self, host: Host, claim: Claim) -> None:
        if claim.term < self._own.get(host.id, 0):
            self._say(f"host{host.number} went back to term {claim.term}")
        self._own[host.id] = max(claim.term, self._own.get(host.id, 0))
        runs = self._runs.setdefault((host.id, claim.term), set())
        runs.add(host.run)
        if len(runs) > 1 + self._setbacks.times(host.id, claim.term):
            self._say(f"host{host.number} leads in term {claim.term} of a former process")
        if stored(host, "term") < claim.term:
            self._say(f"host{host.number} leads in term {claim.term} before that was on its disk")


def _refused_claims(node: Node) -> int:
    """How many claims this process refused at least once: for their leap, or for their author."""
    counts = node.drops.counts
    return counts[DropReason.LEAPING_CLAIM] + counts[DropReason.UNAUTHORISED_FACT]


def _counted(claims: set[Claim]) -> str:
    return "two" if len(claims) == 2 else str(len(claims))

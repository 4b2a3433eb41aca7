"""Terms rise: one claim for each (term, author), and nobody claims lower than it did, restarts included."""

from __future__ import annotations

from functools import partial

from mesh.protocol.effects import Event, LeaderChanged
from mesh.wire import codec
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "terms"


class Terms:
    """Follows every claim that any Node holds for the leader's."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._claims: dict[tuple[NodeId, int], Claim] = {}
        self._own: dict[NodeId, int] = {}
        self._runs: dict[tuple[NodeId, int], int] = {}
        self._incarnations: dict[NodeId, int] = {}
        world.observers.append(self._observe)
        world.on_start.append(lambda host: world.on(host, world.now, partial(self._incarnated, host)))

    def _incarnated(self, host: Host) -> None:
        """A process of that host has started: never in an incarnation that there was before."""
        assert host.node is not None
        incarnation, before = host.node.incarnation, self._incarnations.get(host.id, 0)
        if incarnation <= before and host.id not in self._excuses.set_back:
            self._say(f"host{host.number} starts in incarnation {incarnation} after {before}")
        self._incarnations[host.id] = max(before, incarnation)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not isinstance(event, LeaderChanged) or event.claim is None:
            return
        claim = event.claim
        author = world.host_of(claim.author)
        if host.node is not None and Rights.LEAD not in host.node.rights(claim.author):
            self._say(f"host{host.number} follows host{author.number}, which may not lead")
        if claim.author in self._excuses.set_back or claim.author in self._excuses.liars:
            return
        known = self._claims.setdefault((claim.author, claim.term), claim)
        if known != claim:
            self._say(f"two claims of host{author.number} for term {claim.term}")
        if claim.author == host.id:
            self._claimed(host, claim)

    def _claimed(self, host: Host, claim: Claim) -> None:
        if claim.term < self._own.get(host.id, 0):
            self._say(f"host{host.number} went back to term {claim.term}")
        self._own[host.id] = max(claim.term, self._own.get(host.id, 0))
        run = self._runs.setdefault((host.id, claim.term), host.run)
        if run != host.run:
            self._say(f"host{host.number} leads in term {claim.term} of a former process")
        stored = host.disk.get("term")
        if stored is None or codec.unpack(stored, 16)[0] < claim.term:
            self._say(f"host{host.number} leads in term {claim.term} before that was on its disk")

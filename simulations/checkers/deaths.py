"""Under pauses, lies and people's requests alone, no member is held dead that did not stand still."""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.effects import Event, MembersChanged
from mesh.protocol.membership.peers import PRESENT, MemberState
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

HARMLESS = frozenset({"pauses", "lies", "people", "engines", "clocks"})
"""Families of faults under which this can be demanded."""
_NAME = "deaths"
_SLACK = 3.0
"""Seconds for probes, and for news to go there and back."""


class Deaths:
    """A member that another one holds dead must have stood still, or not run, within a suspicion."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._down: dict[NodeId, float] = {}
        self._present: dict[tuple[NodeId, int], set[NodeId]] = {}
        """The members that each process held alive or suspect; a new member may first hear old news."""
        self.watches = True
        """Off while hosts are switched off for good, as healing does."""
        world.observers.append(self._observe)
        world.on_start.append(lambda host: self._down.update({host.id: world.now}))
        world.on_crash.append(lambda host: self._down.update({host.id: world.now}))

    @property
    def _window(self) -> float:
        settings = self._world.settings
        return _SLACK + 1.5 * settings.suspicion_timeout * settings.suspicion_timeout_stretch

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not isinstance(event, MembersChanged) or host.node is None:
            return
        before = self._present.get((host.id, host.run), set())
        states = {member.id: member.state for member in host.node.members()}
        self._present[host.id, host.run] = {id for id, state in states.items() if state in PRESENT}
        if not self.watches or host.id in self._excuses.liars:
            return
        for id in sorted(id for id in before if states.get(id) is MemberState.DEAD):
            victim = world.host_of(id)
            if id not in self._excuses.liars and not self._excused(victim, id):
                self._say(
                    f"host{victim.number} turned dead at host{host.number} though it did not stand still"
                )

    def _excused(self, victim: Host, id: NodeId) -> bool:
        if victim.node is None or victim.id != id or victim.node.inspect().is_quarantined():
            return True
        if self._world.is_disputed(id):
            return True
        last = max(victim.paused_until, self._down.get(id, float("-inf")))
        return last > 0 and self._world.now - last < self._window

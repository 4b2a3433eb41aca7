"""Where nothing but pauses, lies and people's wishes strike, nobody dies who did not stand still."""

from __future__ import annotations

from functools import partial

from mesh.protocol.effects import Event, MembersChanged
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

HARMLESS = frozenset({"pauses", "lies", "people", "engines", "clocks"})
"""Families of faults under which this can be demanded."""
_NAME = "deaths"
_WINDOW = 60.0


class Deaths:
    """Notes when hosts stood still; whoever is held dead must have done so, or not run, within a minute."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._down: dict[NodeId, float] = {}
        self.watches = True
        """Off while hosts are switched off for good, as healing does."""
        world.observers.append(self._observe)
        world.on_start.append(lambda host: self._down.update({host.id: world.now}))
        world.on_crash.append(lambda host: self._down.update({host.id: world.now}))

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not self.watches or not isinstance(event, MembersChanged) or host.node is None:
            return
        if host.id in self._excuses.liars:
            return
        for member in host.node.members():
            if member.state != "dead" or member.id in self._excuses.liars:
                continue
            victim = world.host_of(member.id)
            excused = victim.node is None or victim.id != member.id or self._stood_still(victim)
            if not excused:
                self._say(f"host{host.number} holds host{victim.number} dead, which never stood still")

    def _stood_still(self, host: Host) -> bool:
        last = max(host.paused_until, self._down.get(host.id, float("-inf")))
        return last > 0 and self._world.now - last < _WINDOW

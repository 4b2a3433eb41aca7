"""Nobody is blamed whose rpc-server did nothing wrong: not for a network, a crash or a leader at fault."""

from __future__ import annotations

from typing import Final

from leader.blame.breaks import Judgement
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.unruly import Manners
from simulations.world import World

_NAME = "innocents"
_AGO: Final = 20.0
"""Seconds that a leader may take to notice a failure and to judge it."""


class Innocents:
    """Judges each judgement by what the rpc-servers really did."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses, manners: Manners) -> None:
        self._world = world
        self._verdicts = verdicts
        self._excuses = excuses
        self._manners = manners

    def judged(self, leader: Host, judged: Judgement) -> None:
        """A leader knows whose fault a broken tunnel is."""
        member = NodeId(judged.tunnel.member)
        if not judged.guilty or member in self._excuses.liars:
            return
        host = self._world.host_of(member)
        leapt = self._excuses.jumped.get(member, float("-inf"))  # whose gate then held its lease to be over
        if self._world.now - leapt <= _AGO:
            return
        if self._world.now - self._manners.failed_at.get(host.number, float("-inf")) > _AGO:
            what = f"host{leader.number} blames host{host.number}, which did nothing"
            self._verdicts.say(_NAME, f"{what}: {judged.tunnel.reason}")

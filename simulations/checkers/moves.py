"""A move that nothing forces cuts no answer, and does not follow another one soon.

A lost lease or a dead llama-server forces a move. A person who requests one may cut answers, but only after
they had their time (the reconciler's own tests check that).
"""

from __future__ import annotations

from collections.abc import Callable

from leader.reconcile.rebalance import STABLE
from leader.reconcile.view import View
from mesh.wire.identity import NodeId
from mesh.wire.states import Phase
from simulations.checkers.verdicts import Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "moves"
_APART = STABLE * 0.9
"""Clocks of hosts may run faster than the world's."""


class Moves:
    """Judges each llama-server's end by what its reconciler saw."""

    def __init__(self, world: World, verdicts: Verdicts, answers: Callable[[Host], bool]) -> None:
        """``answers`` says whether a host's llama-server is giving one."""
        self._world = world
        self._verdicts = verdicts
        self._answers = answers
        self._moved: dict[tuple[NodeId, int], float] = {}

    def stopped(self, host: Host, view: View) -> None:
        """A reconciler is about to end the llama-server of its host."""
        running = view.running
        if view.asked or running is None or running.phase is not Phase.READY or not view.leading:
            return
        used = {stage.device.member for stage in running.plan.stages}
        if running.wanted != view.wanted or not used <= view.leases:
            return
        key, now = (host.id, host.run), self._world.now
        if self._answers(host):
            self._verdicts.say(_NAME, f"host{host.number} cut an answer for a move that no person asked for")
        if now - self._moved.get(key, float("-inf")) < _APART:
            self._verdicts.say(_NAME, f"host{host.number} moved again after {now - self._moved[key]:.1f} s")
        self._moved[key] = now

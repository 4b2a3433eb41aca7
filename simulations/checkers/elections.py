"""No candidate claims while most of the members that it reaches still hear a leader.

It judges only where no votes can have been lost. Links are cut or whole, not lossy, and have not changed for
a while; no voter stood still; and their addresses are known. What counts is a leader that was heard before
the candidate asked for votes: two candidates at once may both get them.
"""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.effects import Event, LeaderChanged
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Node
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from simulations.checkers.handovers import is_named
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "elections"
_UNCHANGED = 2.0
_KNOWN = 5.0
"""Seconds after which all have heard of a new member and listen to it."""


class Elections:
    """Judges every claim in the moment in which it is made."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._claimed: dict[NodeId, int] = {}
        self._led: dict[NodeId, bool] = {}
        self._told: dict[int, tuple[Claim | None, float]] = {}
        """The leader that each host follows, and since when it has heard any leader."""
        world.observers.append(self._observe)
        self._started: dict[NodeId, float] = {}
        world.on_start.append(lambda host: self._started.update({host.id: world.now}))
        world.on_crash.append(self._forget)

    def _forget(self, host: Host) -> None:
        self._led.pop(host.id, None)
        self._told.pop(host.number, None)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not isinstance(event, LeaderChanged):
            return
        before, since = self._told.get(host.number, (None, 0.0))
        self._told[host.number] = (event.claim, since if before is not None else world.now)
        mine = event.claim is not None and event.claim.author == host.id
        led, self._led[host.id] = self._led.get(host.id, False), mine
        if not mine or event.claim is None or event.claim.term <= self._claimed.get(host.id, 0):
            return
        self._claimed[host.id] = event.claim.term
        new = world.now - self._started.get(host.id, 0.0) < _KNOWN
        if (
            not led
            and not new
            and not (host.node is not None and is_named(host.node, event.claim.term))
            and host.id not in self._excuses.liars
            and self._clear()
        ):
            self._judge(host, event.claim)

    def _clear(self) -> bool:
        world = self._world
        plain = world.network.loss == 0 and all(fault.cut for fault in world.network.faults)
        return plain and world.now - world.links_changed_at > _UNCHANGED

    def _judge(self, candidate: Host, claim: Claim) -> None:
        world = self._world
        assert candidate.node is not None
        asked = world.now - world.settings.vote_timeout
        present = {m.id for m in candidate.node.members() if m.state in PRESENT}
        heard, reached = 0, 0
        for voter in world.running():
            if voter is candidate or voter.id not in present or voter.node is None:
                continue
            if not world.linked(candidate, voter) or not _is_found(candidate.node, voter):
                continue
            if world.now < voter.paused_until + _UNCHANGED and voter.paused_until:
                return
            if not voter.node.rights(candidate.id) or voter.id in self._excuses.liars:
                return
            if world.is_disputed(candidate.id) or world.is_disputed(voter.id):
                return
            reached += 1
            leader, since = self._told.get(voter.number, (None, 0.0))
            if leader is not None and since < asked and leader.author != candidate.id:
                heard += self._alive(voter, leader)
        if heard * 2 > reached + 1:
            self._say(
                f"host{candidate.number} claims term {claim.term} though {heard} of {reached} "
                "members that it reaches hear a leader"
            )

    def _alive(self, voter: Host, leader: Claim) -> bool:
        host = self._world.host_of(leader.author)
        if host.id != leader.author or host.node is None:
            return False
        return host is voter or self._world.linked(voter, host)


def _is_found(node: Node, host: Host) -> bool:
    """Whether the Node would ask at the host's present address."""
    return node.inspect().endpoints(host.id)[:1] == [host.address]

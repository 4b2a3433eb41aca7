"""A worker belongs to one claim at a time: grants never go down, and nothing older passes its gate."""

from __future__ import annotations

from functools import partial

from mesh.protocol.effects import Event, GateChanged
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_GONE = ("dead", "left")
_NAME = "leases"


class Leases:
    """Follows every gate by the events that its worker's Node tells and by the bytes that it lets through."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._granted: dict[NodeId, Claim] = {}
        """The last claim that each worker was lent to, restarts included, ..."""
        self._granted_at: dict[NodeId, float] = {}
        """... and when that was."""
        self._open: dict[NodeId, Claim] = {}
        self._since: dict[NodeId, int] = {}
        """The first term of the lease that each worker's holder has without a break."""
        self._started: dict[NodeId, float] = {}
        world.observers.append(self._observe)
        world.on_start.append(self._on_start)
        world.on_crash.append(lambda host: self._shut(host.id))

    def _on_start(self, host: Host) -> None:
        self._started[host.id] = self._world.now

    def _shut(self, worker: NodeId) -> None:
        self._open.pop(worker, None)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, GateChanged):
            if event.claim is None:
                self._let_go(host)
                self._shut(host.id)
            else:
                self._opened(host, event.claim)

    def _let_go(self, worker: Host) -> None:
        """Whoever held the worker must not count on it any longer than that counts itself lent."""
        claim, world = self._open.get(worker.id), self._world
        if claim is None or worker.node is None or self._jumped(worker):
            return
        holder = world.host_of(claim.author)
        if (
            claim.author in self._excuses.set_back
            or world.is_disputed(worker.id)
            or world.is_disputed(claim.author)
        ):
            return
        states = {member.id: member.state for member in worker.node.members()}
        if holder.node is None or holder.id != claim.author or states.get(worker.id) == "left":
            return
        if worker.id in holder.node.leases(holder.local(world.now)):
            who = f"host{holder.number} (term {claim.term})"
            self._say(f"host{worker.number} is lent no longer, but {who} counts on it")

    def _opened(self, worker: Host, claim: Claim) -> None:
        former = self._open.get(worker.id)
        if former is None or former.author != claim.author:
            self._since[worker.id] = claim.term
        before, known = self._granted.get(worker.id), not self._is_forgotten(worker)
        self._granted[worker.id] = self._open[worker.id] = claim
        self._granted_at[worker.id] = self._world.now
        grant = worker.disk.get("grant", b"")
        if grant.find(claim.author) < 0:
            self._say(f"host{worker.number} opened its gate before it noted the grant")
        early = self._world.now < self._started[worker.id] + self._lease()
        if self._set_back_in_this_run(worker) and early and not self._jumped(worker):
            self._say(f"host{worker.number}, its disk rolled back, lent itself within a lease of its start")
        if before is None or not known:
            return
        if claim.order < before.order:
            self._say(f"host{worker.number} went down from term {before.term} to {claim.term}")
        if before.author != claim.author:
            self._taken_over(worker, before, claim)

    def _is_forgotten(self, worker: Host) -> bool:
        """Whether the worker's disk was rolled back since it lent itself last."""
        back = self._excuses.set_back.get(worker.id)
        return back is not None and self._granted_at.get(worker.id, back) <= back

    def _set_back_in_this_run(self, worker: Host) -> bool:
        """Whether the present process started from a disk that had been rolled back."""
        back = self._excuses.set_back.get(worker.id)
        return (
            back is not None
            and back <= self._started.get(worker.id, 0.0)
            and not self._ran_since(worker, back)
        )

    def _ran_since(self, worker: Host, back: float) -> bool:
        return self._started.get(worker.id, 0.0) - back > 60.0

    def _lease(self) -> float:
        """Seconds of the world that a lease lasts at least, whatever the worker's clock makes of it."""
        settings = self._world.settings
        return settings.lease * (1.0 - settings.drift)

    def _taken_over(self, worker: Host, before: Claim, claim: Claim) -> None:
        """The former holder must not believe that it still has the worker, unless that holds it for gone."""
        world = self._world
        former = world.host_of(before.author)
        if former.node is None or worker.node is None or former.id != before.author:
            return
        if worker.id not in former.node.leases(former.local(world.now)) or self._jumped(worker):
            return
        if world.is_disputed(worker.id) or world.is_disputed(before.author):
            return
        view = {member.id: member.state for member in worker.node.members()}
        if view.get(former.id) not in _GONE:
            heir = world.host_of(claim.author)
            self._say(
                f"host{worker.number} was lent to host{heir.number} (term {claim.term}) "
                f"while host{former.number} (term {before.term}) held it"
            )

    def _jumped(self, worker: Host) -> bool:
        jumped = self._excuses.jumped.get(worker.id, float("-inf"))
        return self._world.now - jumped < 2 * self._world.settings.lease

    def passed(self, worker: Host, key: tuple[NodeId, int]) -> None:
        """Bytes of a stream reached the worker's rpc-server."""
        claim = self._open.get(worker.id)
        leader = self._world.host_of(key[0])
        who = f"bytes of host{leader.number} (term {key[1]}) passed the gate of host{worker.number}"
        if claim is None:
            self._say(f"{who}, which was shut")
        elif key[0] != claim.author or not self._since[worker.id] <= key[1] <= claim.term:
            self._say(f"{who}, which was lent to another claim, of term {claim.term}")

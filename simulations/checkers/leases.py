"""A worker belongs to one claim at a time: grants never go down, and nothing older passes its gate."""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.effects import Event, GateChanged
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from simulations.checkers.handovers import resigned_term
from simulations.checkers.setbacks import Setbacks, stored_grant
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_GONE = ("dead", "left")
_NAME = "leases"


class Leases:
    """Follows every gate by the events that its worker's Node tells and by the bytes that it lets through."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses, setbacks: Setbacks) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._setbacks = setbacks
        self._lent: dict[NodeId, Claim] = {}
        """The last claim that each worker was lent to, restarts and roll backs included, ..."""
        self._known: dict[NodeId, Claim] = {}
        """... and the last that its disk knows of."""
        self._open: dict[NodeId, Claim] = {}
        self._since: dict[NodeId, int] = {}
        """The first term of the lease that each worker's holder has without a break."""
        self._started: dict[NodeId, float] = {}
        self._restarted: set[NodeId] = set()
        """Whose present process is not its first: that one has granted nothing that may bind it yet."""
        world.observers.append(self._observe)
        world.on_start.append(self._on_start)
        world.on_crash.append(lambda host: self._shut(host.id))
        setbacks.listeners.append(self._set_back)

    def _on_start(self, host: Host) -> None:
        if host.id in self._started:
            self._restarted.add(host.id)
        self._started[host.id] = self._world.now

    def _set_back(self, worker: Host) -> None:
        """It cannot know what it granted later; but it goes on from what its disk says."""
        claim = stored_grant(worker)
        if claim is None:
            self._known.pop(worker.id, None)
        else:
            self._known[worker.id] = claim

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
        if self._forgot(holder, claim) or world.is_disputed(worker.id) or world.is_disputed(claim.author):
            return
        states = {member.id: member.state for member in worker.node.members()}
        if holder.node is None or holder.id != claim.author or states.get(worker.id) == "left":
            return
        if holder is worker and self._is_lent_anew(worker, claim):
            return
        if worker.id in holder.node.leases(holder.local(world.now)):
            who = f"host{holder.number} (term {claim.term})"
            self._say(f"host{worker.number} is lent no longer, but {who} counts on it")

    def _is_lent_anew(self, leader: Host, before: Claim) -> bool:
        """Whether a leader was lent to itself again in the very step: what it counts on is that."""
        assert leader.node is not None
        now = leader.node.holder(leader.local(self._world.now))
        return now is not None and now.author == leader.id and now.order > before.order

    def _opened(self, worker: Host, claim: Claim) -> None:
        former = self._open.get(worker.id)
        if former is None or former.author != claim.author:
            self._since[worker.id] = claim.term
        before, known = self._lent.get(worker.id), self._known.get(worker.id)
        self._lent[worker.id] = self._known[worker.id] = self._open[worker.id] = claim
        if stored_grant(worker) != claim:
            self._say(f"host{worker.number} opened its gate before it noted the grant")
        if worker.id in self._restarted and self._is_early(worker):
            self._say(f"host{worker.number} lent itself within a lease of its restart")
        if known is not None and claim.order < known.order:
            self._say(f"host{worker.number} went down from term {known.term} to {claim.term}")
        if before is not None and before.author != claim.author:
            self._taken_over(worker, before, claim)

    def _is_early(self, worker: Host) -> bool:
        """Whether its process runs for less than a lease, whatever its clock makes of that without a leap."""
        settings, started = self._world.settings, self._started[worker.id]
        leapt = self._excuses.jumped.get(worker.id, float("-inf")) >= started
        return not leapt and self._world.now < started + settings.lease * (1.0 - settings.drift)

    def _taken_over(self, worker: Host, before: Claim, claim: Claim) -> None:
        """The former holder must not believe that it still has the worker, unless that holds it for gone."""
        world = self._world
        former = world.host_of(before.author)
        if former.node is None or worker.node is None or former.id != before.author:
            return
        if worker.id not in former.node.leases(former.local(world.now)) or self._jumped(worker):
            return
        if self._forgot(former, before) or world.is_disputed(worker.id) or world.is_disputed(before.author):
            return
        view = {member.id: member.state for member in worker.node.members()}
        if view.get(former.id) not in _GONE:
            heir = world.host_of(claim.author)
            self._say(
                f"host{worker.number} was lent to host{heir.number} (term {claim.term}) "
                f"while host{former.number} (term {before.term}) held it"
            )

    def _forgot(self, holder: Host, claim: Claim) -> bool:
        """Whether it may have given up that term in a life that it forgot, and has not heard of that yet."""
        forgot = self._setbacks.times(claim.author, claim.term) > 0
        return forgot and holder.node is not None and resigned_term(holder.node) < claim.term

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

"""A worker belongs to one claim at a time: grants never go down, and nothing older passes its gate."""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.effects import Event, GateChanged
from mesh.protocol.membership.peers import GONE, MemberState
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from simulations.checkers.handovers import resigned_term
from simulations.checkers.setbacks import Setbacks, stored_grant
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "leases"


class Leases:
    """Follows every gate, by its worker's events and by the bytes that it passes."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses, setbacks: Setbacks) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._setbacks = setbacks
        self._granted: dict[NodeId, Claim] = {}
        """The last claim that each worker granted its lease to, across restarts and state rollbacks, ..."""
        self._known: dict[NodeId, Claim] = {}
        """... and the last that its disk knows of."""
        self._open: dict[NodeId, Claim] = {}
        self._since: dict[NodeId, int] = {}
        """The first term of the lease that each worker's holder has without a break."""
        self._started: dict[NodeId, float] = {}
        self._restarted: set[NodeId] = set()
        """The workers whose present process is not the first: it has granted nothing that binds it yet."""
        world.observers.append(self._observe)
        world.on_start.append(self._on_start)
        world.on_crash.append(lambda host: self._shut(host.id))
        setbacks.listeners.append(self._set_back)

    def _on_start(self, host: Host) -> None:
        if host.id in self._started:
            self._restarted.add(host.id)
        self._started[host.id] = self._world.now

    def _set_back(self, worker: Host) -> None:
        """It cannot know what it granted later; but it continues from what its disk says."""
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
                self._ended(host)
                self._shut(host.id)
            else:
                self._opened(host, event.claim)

    def _ended(self, worker: Host) -> None:
        """The former holder must not count on the worker any longer than the worker counts its lease."""
        claim, world = self._open.get(worker.id), self._world
        if claim is None or worker.node is None or self._jumped(worker):
            return
        holder = world.host_of(claim.author)
        if self._forgot(holder, claim) or world.is_disputed(worker.id) or world.is_disputed(claim.author):
            return
        states = {member.id: member.state for member in worker.node.members()}
        if holder.node is None or holder.id != claim.author or states.get(worker.id) is MemberState.LEFT:
            return
        if holder is worker and self._is_granted_again(worker, claim):
            return
        if worker.id in holder.node.leases(holder.local(world.now)):
            who = f"host{holder.number} (term {claim.term})"
            self._say(f"host{worker.number} ended its lease, but {who} counts on it")

    def _is_granted_again(self, leader: Host, before: Claim) -> bool:
        """Whether a leader granted itself a new lease in the same step: that is what it counts on."""
        assert leader.node is not None
        now = leader.node.holder(leader.local(self._world.now))
        return now is not None and now.author == leader.id and now.order > before.order

    def _opened(self, worker: Host, claim: Claim) -> None:
        former = self._open.get(worker.id)
        if former is None or former.author != claim.author:
            self._since[worker.id] = claim.term
        before, known = self._granted.get(worker.id), self._known.get(worker.id)
        self._granted[worker.id] = self._known[worker.id] = self._open[worker.id] = claim
        if stored_grant(worker) != claim:
            self._say(f"host{worker.number} opened its gate before it stored the grant")
        if worker.id in self._restarted and self._is_early(worker):
            self._say(f"host{worker.number} granted a lease within the restart grace")
        if known is not None and claim.order < known.order:
            self._say(f"host{worker.number} went down from term {known.term} to {claim.term}")
        if before is not None and before.author != claim.author:
            self._taken_over(worker, before, claim)

    def _is_early(self, worker: Host) -> bool:
        """Whether its process runs for less than a lease by its own clock, unless that leapt."""
        settings, started = self._world.settings, self._started[worker.id]
        leapt = self._excuses.jumped.get(worker.id, float("-inf")) >= started
        return not leapt and self._world.now < started + settings.lease * (1.0 - settings.drift)

    def _taken_over(self, worker: Host, before: Claim, claim: Claim) -> None:
        """The former holder must not believe that it still has the worker, unless that holds it dead."""
        world = self._world
        former = world.host_of(before.author)
        if former.node is None or worker.node is None or former.id != before.author:
            return
        if worker.id not in former.node.leases(former.local(world.now)) or self._jumped(worker):
            return
        if self._forgot(former, before) or world.is_disputed(worker.id) or world.is_disputed(before.author):
            return
        view = {member.id: member.state for member in worker.node.members()}
        if view.get(former.id) not in GONE:
            heir = world.host_of(claim.author)
            self._say(
                f"host{worker.number} granted its lease to host{heir.number} (term {claim.term}) "
                f"while host{former.number} (term {before.term}) held it"
            )

    def _forgot(self, holder: Host, claim: Claim) -> bool:
        """Whether it may have resigned that term before a state rollback, and has not heard of that yet."""
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
            self._say(f"{who}, which was closed")
        elif key[0] != claim.author or not self._since[worker.id] <= key[1] <= claim.term:
            self._say(f"{who}, which another claim holds, of term {claim.term}")

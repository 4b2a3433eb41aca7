"""What must hold in every run, judged from outside: by events that Nodes tell and by views that they show.

Safety is checked at every event; that the pool comes together again after healing, at the end.
"""

from __future__ import annotations

from mesh.protocol.effects import Event, GateChanged, LeaderChanged
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from simulations.world import Host, World

_GONE = ("dead", "left")


class Checkers:
    """Watches one world; ``violations`` says what went wrong and when."""

    def __init__(self, world: World) -> None:
        self.violations: list[str] = []
        self._gates: dict[NodeId, Claim] = {}
        self._claims: dict[tuple[NodeId, int], Claim] = {}
        self._own_terms: dict[NodeId, int] = {}
        world.observers.append(self._observe)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, GateChanged) and event.claim is not None:
            self._gate_opened(world, host, event.claim)
        elif isinstance(event, LeaderChanged) and event.claim is not None:
            self._leader_seen(world, host, event.claim)

    def _fail(self, world: World, what: str) -> None:
        self.violations.append(f"{world.now:.3f} {what}")

    def _gate_opened(self, world: World, worker: Host, claim: Claim) -> None:
        """Grants never go down, and no worker is taken from a leader that still has it."""
        before = self._gates.get(worker.id)
        self._gates[worker.id] = claim
        if before is not None:
            if claim.order < before.order:
                self._fail(world, f"host{worker.number} went down from term {before.term} to {claim.term}")
            if before.author != claim.author:
                self._taken_over(world, worker, before, claim)
        if worker.disk.get("grant", b"").find(claim.author) < 0:
            self._fail(world, f"host{worker.number} opened its gate before it noted the grant")

    def _taken_over(self, world: World, worker: Host, before: Claim, claim: Claim) -> None:
        former = world.host_of(before.author)
        if former.node is None or worker.node is None:
            return
        if worker.id not in former.node.leases(world.now):
            return
        view = {member.id: member.state for member in worker.node.members()}
        if view.get(former.id) not in _GONE:
            heir = world.host_of(claim.author)
            self._fail(
                world,
                f"host{worker.number} was lent to host{heir.number} (term {claim.term}) "
                f"while host{former.number} (term {before.term}) held it",
            )

    def _leader_seen(self, world: World, host: Host, claim: Claim) -> None:
        """One claim for each (term, author); whoever leads has never claimed a higher term before."""
        known = self._claims.setdefault((claim.author, claim.term), claim)
        if known != claim:
            self._fail(world, f"two claims of host{world.host_of(claim.author).number} for term {claim.term}")
        if claim.author == host.id:
            if claim.term < self._own_terms.get(host.id, 0):
                self._fail(world, f"host{host.number} went back to term {claim.term}")
            self._own_terms[host.id] = max(claim.term, self._own_terms.get(host.id, 0))


def disagreement(world: World) -> str:
    """Why the running Nodes do not form one pool with one leader; empty when they do."""
    hosts = world.running()
    living = {host.id for host in hosts}
    leaders = {host.node.leader() for host in hosts if host.node is not None}
    if len(leaders) != 1:
        return f"{len(leaders)} views of the leader"
    if (leader := leaders.pop()) is None or leader.author not in living:
        return "nobody leads"
    for host in hosts:
        if host.node is None:
            continue
        alive = {member.id for member in host.node.members() if member.state == "alive"}
        if alive != living:
            return f"host{host.number} holds {len(alive)} alive, {len(living)} are"
    return ""

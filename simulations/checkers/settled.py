"""What must hold some time after healing: one pool, one leader, the deployment served, and quiet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mesh.protocol.base.effects import Event, LeaderChanged
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.inspect import Inspection
from mesh.wire.identity import NodeId
from mesh.wire.states import Phase
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.world import World


def disagreement(
    world: World, among: Sequence[Host] | None = None, but: frozenset[NodeId] = frozenset()
) -> str:
    """Why Nodes (all that run, or the given ones) do not form one pool with one leader; empty when they do.

    They must hold every other member gone; they may hold those in ``but`` (liars) anything.
    """
    hosts = [host for host in (world.running() if among is None else among) if host.node is not None]
    living = {host.id for host in hosts} - but
    leaders = {host.node.leader() for host in hosts if host.node is not None and host.id in living}
    if len(leaders) != 1:
        return f"{len(leaders)} views of the leader"
    if (leader := leaders.pop()) is None or leader.author not in living:
        return "no member leads"
    for host in hosts:
        if host.node is None or host.id in but:
            continue
        states = {member.id: member.state for member in host.node.members() if member.id not in but}
        alive = {id for id, state in states.items() if state is MemberState.ALIVE}
        if alive != living:
            return f"host{host.number} holds {len(alive)} alive, {len(living)} are"
        doubted = sorted(
            world.host_of(id).number for id, state in states.items() if state is MemberState.SUSPECT
        )
        if doubted:
            return f"host{host.number} still suspects {doubted}"
    return ""


def lawless(hosts: Sequence[Host], outlaws: frozenset[NodeId]) -> str:
    """Why hosts hold different members, or one that was evicted; empty when they do neither."""
    held = {host.number: (inside.roster(), inside.evicted()) for host, inside in _inspected(hosts)}
    first = next(iter(held))
    for number, (roster, out) in held.items():
        if (roster, out) != held[first]:
            return f"host{first} and host{number} do not hold the same for members, or for evicted"
        if not outlaws.isdisjoint(roster):
            return f"host{number} holds a member that an owner evicted"
    return ""


def unlike(hosts: Sequence[Host]) -> str:
    """Why hosts do not hold the same facts; empty when they do. News takes a while to be everywhere."""
    held = {inside.summary() for _, inside in _inspected(hosts)}
    return "not all hold the same facts" if len(held) > 1 else ""


def _inspected(hosts: Sequence[Host]) -> Iterator[tuple[Host, Inspection]]:
    return ((host, host.node.inspect()) for host in hosts if host.node is not None)


def unserved(serving: Serving, among: Sequence[Host]) -> str:
    """Why the deployment is not served, as every one of the hosts should know; empty when it is."""
    node = next(host.node for host in among if host.node is not None)
    claim, deployment = node.leader(), node.deployment()
    if claim is None or deployment is None:
        return "no member leads" if claim is None else "nothing is deployed"
    leading = serving.leading(serving.world.host_of(claim.author))
    if leading is None or leading.server is None:
        return f"the leader runs nothing: {_state(node)}"
    if leading.server.phase is not Phase.READY:
        return f"the leader's engine is {leading.server.phase}: {leading.server.reason}"
    workers = (serving.world.host_of(NodeId(worker)) for worker in leading.server.plan.workers)
    gone = [worker.number for worker in workers if worker.node is None]
    if gone:
        return f"the leader counts on host{gone[0]}, which is gone"
    for host in among:
        if host.node is None:
            continue
        if host.node.deployment() != deployment:
            return f"host{host.number} knows another deployment"
        state = host.node.pool_state()
        if state is None or state.phase != Phase.READY or state.deployment != deployment.number:
            return f"host{host.number} was not told that it is served: {_state(host.node)}"
    return ""


def _state(node: Any) -> str:
    state = node.pool_state()
    return "no word of it" if state is None else f"{state.phase} ({state.reason})"


def views(hosts: Sequence[Host]) -> list[object]:
    """What each host holds of every member, and which leader it follows: equal while nothing changes."""
    return [
        (host.node.leader(), {member.id: member.state for member in host.node.members()})
        for host in hosts
        if host.node is not None
    ]


MOVES = 3
"""The model may move to a better placement in so many calms in a row; each move comes at its own time."""


def unrest(
    serving: Serving, hosts: Sequence[Host], but: frozenset[NodeId], seconds: float, most_bytes: float
) -> list[str]:
    """Watch hosts for so many seconds; what was not calm, see `Calm`.

    A reconciler may move the model in any of them, and the traffic of a move is no unrest. So the traffic is
    judged once no move happened, or when moves go on and on.
    """
    for calms in range(1, MOVES + 1):
        before = _engines(serving, hosts)
        calm = Calm(serving.world, hosts, but)
        serving.world.run(seconds)
        moved = _engines(serving, hosts) != before
        said = calm.unrest(math.inf if moved and calms < MOVES else most_bytes)
        if said or not moved:
            break
    return said


def _engines(serving: Serving, hosts: Sequence[Host]) -> list[tuple[object, str]]:
    servers = [None if (leading := serving.leading(host)) is None else leading.server for host in hosts]
    return [(server and server.plan, server.phase if server else "") for server in servers]


class Calm:
    """Watches a healed pool for a while: nothing may change any more, and no host may send much."""

    def __init__(self, world: World, hosts: Sequence[Host], but: frozenset[NodeId] = frozenset()) -> None:
        """Watch these hosts, whatever becomes of those in ``but`` (liars)."""
        self._world = world
        self._but = but
        self._hosts = hosts
        self._since = world.now
        self._sent = dict(world.bytes_sent)
        self.flaps: list[str] = []
        self._states = self._view()
        world.observers.append(self._observe)

    def _view(self) -> dict[tuple[int, NodeId], str]:
        return {
            (host.number, member.id): member.state
            for host in self._hosts
            if host.node is not None
            for member in host.node.members()
            if member.id not in self._but
        }

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, LeaderChanged) and host in self._hosts:
            self.flaps.append(f"{world.now:.3f} the leader changed at host{host.number}")

    def unrest(self, most_bytes: float) -> list[str]:
        """What was not calm; ``most_bytes`` a second is what a host may send."""
        world = self._world
        world.observers.remove(self._observe)
        seconds = world.now - self._since
        said = list(self.flaps)
        for (number, id), state in self._view().items():
            before = self._states.get((number, id), state)
            if before != state:
                said.append(f"host{world.host_of(id).number} turned {state} at host{number}")
        for host in self._hosts:
            rate = (world.bytes_sent[host.number] - self._sent.get(host.number, 0)) / seconds
            if rate > most_bytes:
                said.append(f"host{host.number} sends {rate:.0f} bytes a second though nothing happens")
        return said

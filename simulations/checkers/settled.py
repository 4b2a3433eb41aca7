"""What must hold some time after healing: one pool, one leader, the deployment served, and quiet."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.effects import Event, LeaderChanged
from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import PRESENT, MemberState
from mesh.protocol.node.inspect import Inspection
from mesh.wire.facts import Record, Suspicion
from mesh.wire.identity import NodeId
from mesh.wire.signed_facts import Signed
from mesh.wire.states import Phase
from simulations.checkers.forms import own_record
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.programs import form_of
from simulations.world import World

_NEWS = 3.0
"""Seconds: half a second between two records, and what news takes to be everywhere."""
_UNREADABLE = (DropReason.MALFORMED, DropReason.MALFORMED_FACT, DropReason.FORGED_FACT)
"""What no member sends another in calm, whichever versions they speak."""


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
    """Why hosts do not hold the same facts; empty when they do. News takes a while to be everywhere.

    The same are facts with the same bytes. A program of version 2 holds those alone that it can read: a
    record in a newer form of a member that is gone for good, for example, it never learns.
    """
    growing: list[dict[bytes, Signed[Any]]] = []
    closed: list[dict[bytes, Signed[Any]]] = []
    for host, inside in _inspected(hosts):
        kind = closed if host.program.is_closed else growing
        kind.append({signed.data: signed for signed in inside.facts()})
    if any(held.keys() != alike[0].keys() for alike in (growing, closed) for held in alike):
        return "not all hold the same facts"
    if growing and closed and not closed[0].keys() >= _readable(growing[0].values()):
        return "those of version 2 lack facts that they can read"
    return ""


def _readable(facts: Collection[Signed[Any]]) -> set[bytes]:
    """What of this a program of version 2 holds: not the suspicions of one whose record it cannot read."""
    unread = {
        signed.fact.author for signed in facts if isinstance(signed.fact, Record) and not signed.is_closed
    }
    return {
        signed.data
        for signed in facts
        if signed.is_closed and not (isinstance(signed.fact, Suspicion) and signed.fact.subject in unread)
    }


def form_limit(settings: Settings) -> float:
    """Seconds within which all members sign in the newest form that all of them read, once they agree."""
    return settings.form_delay + _NEWS


def misformed(world: World, hosts: Sequence[Host], liars: frozenset[NodeId]) -> str:
    """Why a member signs in another form than the newest that all present members read; empty otherwise.

    What a liar speaks is what its record says; what others speak is known here.
    """
    for host in hosts:
        record = None if host.node is None else own_record(host)
        if host.node is None or record is None:
            continue
        speaks = [
            member.record.speaks if member.id in liars else world.host_of(member.id).program.speaks
            for member in host.node.members()
            if member.state in PRESENT and member.record is not None
        ]
        newest = min(each.newest for each in (*speaks, host.program.speaks))
        form, wanted = form_of(record), max(newest, host.program.speaks.oldest)
        if form != wanted:
            return f"host{host.number} signs in the form of version {form}, not of {wanted}"
    return ""


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
        self._refused = self._unreadable()
        world.observers.append(self._observe)

    def _view(self) -> dict[tuple[int, NodeId], str]:
        return {
            (host.number, member.id): member.state
            for host in self._hosts
            if host.node is not None
            for member in host.node.members()
            if member.id not in self._but
        }

    def _unreadable(self) -> dict[int, int]:
        """How much of what came to each host it could not read, or was not as its author signed it."""
        return {
            host.number: sum(host.node.drops.counts[reason] for reason in _UNREADABLE)
            for host in self._hosts
            if host.node is not None
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
        for number, refused in self._unreadable().items():
            if more := refused - self._refused.get(number, refused):
                said.append(f"host{number} got {more} facts or datagrams that it could not read")
        for host in self._hosts:
            rate = (world.bytes_sent[host.number] - self._sent.get(host.number, 0)) / seconds
            if rate > most_bytes:
                said.append(f"host{host.number} sends {rate:.0f} bytes a second though nothing happens")
        return said

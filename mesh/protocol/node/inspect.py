"""A read-only view of the inside of a Node, for checkers and measurements.

A running program needs none of it: the Node itself shows what status, gateway and discovery need.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.wiring import Parts
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed

_CONTAINERS = (dict, list, set, deque, bytearray)
_SLOTS: dict[type[Any], list[str]] = {}


class ProbeView(NamedTuple):
    """A probe under way: whether it is of the round robin, and when it began (this Node's seconds)."""

    regular: bool
    started: float


class Inspection:
    """The present state of one Node; no method changes anything. Times are seconds of the Node's clock."""

    def __init__(self, node: object, parts: Parts) -> None:
        self._node = node
        self._parts = parts

    @property
    def id(self) -> NodeId:
        """The id of the inspected Node."""
        return self._parts.context.id

    # --- facts

    def form(self) -> int:
        """The wire version in whose form the Node signs its facts."""
        return self._parts.context.form

    def facts(self, kind: type[Any] | None = None) -> Iterator[Signed[Any]]:
        """Every stored fact, or those of one kind."""
        return self._parts.store.everything() if kind is None else self._parts.store.all(kind)

    def summary(self) -> bytes:
        """The hash over all stored facts."""
        return self._parts.store.summary

    def pending_facts(self) -> int:
        """How many facts are pending until their author is vouched for."""
        return self._parts.validator.pending

    # --- members

    def roster(self) -> dict[NodeId, Rights]:
        """All members of the pool, with their rights."""
        return {id: member.rights for id, member in self._parts.roster.members.items()}

    def evicted(self) -> frozenset[NodeId]:
        """The evicted members."""
        return frozenset(self._parts.roster.evicted)

    def own_liveness(self) -> tuple[int, int]:
        """The Node's own liveness."""
        mine = self._parts.membership
        return (mine.generation, mine.incarnation)

    def liveness(self) -> dict[NodeId, tuple[int, int]]:
        """The liveness of every peer."""
        return {id: peer.liveness for id, peer in self._parts.membership.peers.items()}

    def states(self) -> dict[NodeId, tuple[tuple[int, int], MemberState]]:
        """The liveness and the state of every peer."""
        return {id: (peer.liveness, peer.state) for id, peer in self._parts.membership.peers.items()}

    def state(self, id: NodeId) -> MemberState | None:
        """The state of a peer; None when there is no such peer."""
        peer = self._parts.membership.peers.get(id)
        return None if peer is None else peer.state

    def alive_count(self) -> int:
        """How many members the Node holds alive, itself included."""
        return 1 + sum(peer.state is MemberState.ALIVE for peer in self._parts.membership.peers.values())

    def endpoints(self, id: NodeId) -> list[Endpoint]:
        """The addresses of a peer, the likeliest first."""
        peer = self._parts.membership.peers.get(id)
        return [] if peer is None else peer.endpoints()

    def hello_targets(self) -> list[Endpoint]:
        """The addresses that the Node sends hellos to, now or again and again."""
        return self._parts.bootstrap.targets()

    # --- failure detection

    def is_quarantined(self) -> bool:
        """Whether the flap detector quarantines the Node itself."""
        return not self._parts.membership.flap_detector.stable

    def waits_in_doubt(self) -> bool:
        """Whether the Node, a sole suspector in bad local health, waits longer than a healthy one would."""
        context, mine = self._parts.context, self._parts.membership
        trusting = context.settings.suspicion_timeout * context.settings.suspicion_timeout_stretch
        return mine.local_health > 0 and any(
            peer.state is MemberState.SUSPECT
            and peer.suspectors == {context.id}
            and context.now > peer.suspected_at + trusting
            for peer in mine.peers.values()
        )

    def suspectors(self, id: NodeId) -> set[NodeId]:
        """The suspectors of a peer that the Node knows of, by stored suspicions or by its own notes."""
        peer = self._parts.membership.peers.get(id)
        signed = self.signed_suspectors(id)
        return signed if peer is None else signed | peer.suspectors

    def signed_suspectors(self, id: NodeId) -> set[NodeId]:
        """The authors of the stored suspicions of a member's present liveness."""
        return {signed.fact.author for signed in self._parts.store.suspicions(id)}

    def saw_for_itself(self, id: NodeId) -> bool:
        """Whether a death needs no other suspector: the Node's own probe failed, or the peer is unstable."""
        peer = self._parts.membership.peers.get(id)
        return peer is None or peer.missed or not peer.stable

    def probe(self, id: NodeId) -> ProbeView | None:
        """The probe of a peer that is under way, if any."""
        probe = self._parts.prober.under_way(id)
        return None if probe is None else ProbeView(probe.regular, probe.started)

    def due(self, kind: str, subject: bytes = b"") -> float | None:
        """When the pending timer of a kind and subject fires; None when none is set."""
        return self._parts.context.scheduled(kind, subject)

    # --- elections, leases, datagrams

    def voters(self) -> frozenset[NodeId]:
        """The members that the Node asked for a vote in its last campaign."""
        return self._parts.election.voters

    def is_leased_to_another(self) -> bool:
        """Whether the Node's worker is bound to another's claim, which makes its own vote a no."""
        return self._parts.worker_lease.bound_to_another(self.id) is not None

    def next_number(self) -> int:
        """The number that the next datagram of the Node will have."""
        return self._parts.context.sent + 1

    def accepts(self, envelope: Envelope) -> bool:
        """Whether a datagram is neither a replay nor of a past run of its sender."""
        return self._parts.replays.is_new(envelope, self._parts.store.generation(envelope.sender))

    # --- memory

    def containers(self) -> Iterator[tuple[str, int]]:
        """The path and the length of every container in the Node, each once.

        A path names the attributes from ``node`` on, without leading underscores; ``[]`` is an item.
        """
        seen: set[int] = set()
        waiting: list[tuple[str, Any]] = [("node", self._node)]
        while waiting:
            path, value = waiting.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, _CONTAINERS):
                yield path, len(value)
                inner = value.values() if isinstance(value, dict) else value
                if not isinstance(value, bytearray):
                    waiting += [(f"{path}[]", item) for item in inner]
            elif type(value).__module__.startswith("mesh.protocol"):
                waiting += [(f"{path}.{name.lstrip('_')}", item) for name, item in _attributes(value)]


def _slots(cls: type[Any]) -> list[str]:
    """The names of a class's slots, or of all attributes if mypyc compiled it."""
    if cls in _SLOTS:
        return _SLOTS[cls]
    names = _SLOTS[cls] = list[str]()
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
        names += base.__dict__.get("__mypyc_attrs__", ())
    return names


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for name in _slots(type(value)):
        if hasattr(value, name):
            yield name, getattr(value, name)

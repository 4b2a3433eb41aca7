"""The only place that looks behind a Node's public face, for checkers: what it stores, how much it keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.protocol.membership.peers import SUSPECT
from mesh.protocol.node.node import Node
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import Envelope, first_number
from mesh.wire.facts import (
    Claim,
    Deployment,
    Eviction,
    Liveness,
    PoolState,
    Record,
    Resignation,
    Signed,
    Suspicion,
    Voucher,
)
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights

_KINDS = (
    Voucher, Eviction, Record, Claim, Resignation, Deployment, PoolState, Liveness, Suspicion,
)  # fmt: skip
_CONTAINERS = (dict, list, set, deque, bytearray)
_SLOTS: dict[type[Any], list[str]] = {}


def facts(node: Node) -> Iterator[Signed[Any]]:
    """Every fact that the Node holds."""
    store = node._parts.store
    for kind in _KINDS:
        yield from list(store.all(kind))


def summary(node: Node) -> bytes:
    """The hash over all facts that the Node holds."""
    return bytes(node._parts.store.summary)


def liveness(node: Node) -> Mapping[NodeId, tuple[int, int]]:
    """The liveness of every peer, as the Node knows it."""
    return {id: peer.liveness for id, peer in node._parts.membership.peers.items()}


def roster(node: Node) -> dict[NodeId, Rights]:
    """Whom the Node holds for a member of the pool, with which rights."""
    return {id: member.rights for id, member in node._parts.roster.members.items()}


def endpoints(node: Node, id: NodeId) -> list[Endpoint]:
    """Where the Node would look for a member."""
    peer = node._parts.membership.peers.get(id)
    return [] if peer is None else peer.endpoints()


def greeted(node: Node) -> list[Endpoint]:
    """Where the Node greets whoever may live there, now or again and again."""
    bootstrap = node._parts.bootstrap
    return [*bootstrap._hello_targets, *bootstrap._silent]


def evicted(node: Node) -> frozenset[NodeId]:
    """Whom the Node holds for evicted."""
    return frozenset(node._parts.roster.evicted)


def states(node: Node) -> Mapping[NodeId, tuple[tuple[int, int], str]]:
    """The liveness and the state of every peer, as the Node knows it."""
    return {id: (peer.liveness, peer.state) for id, peer in node._parts.membership.peers.items()}


def own_liveness(node: Node) -> tuple[int, int]:
    """The Node's own liveness."""
    mine = node._parts.membership
    return (mine.generation, mine.incarnation)


def stays_away(node: Node) -> bool:
    """Whether the Node itself says that it is no steady member at present."""
    return not node._parts.membership.flap_detector.stable


def waits_in_doubt(node: Node) -> bool:
    """Whether the Node doubts itself and, alone in suspecting someone, waits longer than if it did not."""
    settings, mine, now = node._parts.context.settings, node._parts.membership, node._parts.context.now
    trusting = settings.suspicion_timeout * settings.suspicion_timeout_stretch
    return mine.local_health > 0 and any(
        peer.state == SUSPECT and peer.suspectors == {node.id} and now > peer.suspected_at + trusting
        for peer in mine.peers.values()
    )


def containers(node: Node) -> Iterator[tuple[str, int]]:
    """The path and length of every container that grows with what a Node hears."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("node", node)]
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
            waiting += [(f"{path}.{name}", item) for name, item in _attributes(value)]


def _slots(cls: type[Any]) -> list[str]:
    """The names of the slots of a class; for classes that mypyc compiled, of all attributes."""
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


def is_named(node: Node, term: int) -> bool:
    """Whether one who claimed the term before handed over to this node."""
    every = [signed.fact for signed in facts(node)]
    led = {fact.author for fact in every if isinstance(fact, Claim) and fact.term == term - 1}
    resigned = (fact for fact in every if isinstance(fact, Resignation) and fact.author in led)
    return any(fact.successor == node.id and fact.term == term - 1 for fact in resigned)


def given_up(node: Node) -> int:
    """The term up to which the Node knows that it gave up its own claims; 0 for none."""
    resignation = node._parts.store.get(Resignation, node.id)
    return 0 if resignation is None else int(resignation.fact.term)


def asked(node: Node) -> frozenset[NodeId]:
    """Whom the Node asked for a vote when it stood last."""
    return frozenset(node._parts.election._asked)


def is_lent_to_another(node: Node) -> bool:
    """Whether its worker is bound to another's claim, which makes its own vote a no."""
    return node._parts.worker_lease.bound_to_another(node.id) is not None


def is_new(node: Node, envelope: Envelope) -> bool:
    """Whether the Node will listen to a datagram: no replay, nor from a run of its sender that is over."""
    peer = node._parts.membership.peers.get(envelope.sender)
    outrun = peer is not None and envelope.number < first_number(peer.generation)
    return not outrun and node._parts.replays.is_new(envelope)


def suspectors(node: Node, id: NodeId) -> set[NodeId]:
    """By whose word the Node holds a member for suspect or dead, as far as it noted that."""
    peer = node._parts.membership.peers.get(id)
    stored = signed_accusers(node, id)
    return stored if peer is None else stored | peer.suspectors


def signed_accusers(node: Node, id: NodeId) -> set[NodeId]:
    """Whose accusations of a member the Node stores, as it is at present."""
    return {signed.fact.author for signed in node._parts.store.suspicions(id)}


def judged_for_itself(node: Node, id: NodeId) -> bool:
    """Whether the Node needs nobody's word for a death: its own probe failed, or the member said so."""
    peer = node._parts.membership.peers.get(id)
    return peer is None or peer.missed or not peer.stable


def refused_claims(node: Node) -> int:
    """How many claims this process refused at least once: for their leap, or for who made them."""
    counts = node._parts.context.drops.counts
    return counts["leaping_claim"] + counts["unauthorised_fact"]


def count(node: Node, kind: type[Any]) -> int:
    """How many facts of a kind the Node holds."""
    return sum(1 for _ in node._parts.store.all(kind))


def waiting(node: Node) -> int:
    """How many facts wait for their author's voucher."""
    return len(node._parts.validator._pending_facts)

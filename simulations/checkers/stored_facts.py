"""What Nodes store: of this pool, signed by an author with the right to it, and never older than before."""

from __future__ import annotations

from functools import partial
from typing import Any

from mesh.protocol.membership.peers import GONE
from mesh.wire.facts import Claim, Deployment, Eviction, PoolState, Resignation, Suspicion, Voucher
from mesh.wire.identity import NodeId, node_id
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "facts"
_FEW = (Claim, Resignation, PoolState)
"""Of these kinds the store keeps the highest few, of whichever authors."""
_RIGHTS = {
    Voucher.kind: Rights.OWN,
    Deployment.kind: Rights.OWN,
    Claim.kind: Rights.LEAD,
    Resignation.kind: Rights.LEAD,
    PoolState.kind: Rights.LEAD,
}


class StoredFacts:
    """Looks through the stores of all Nodes from time to time."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._proven: set[bytes] = set()
        self._versions: dict[tuple[NodeId, int], dict[bytes, tuple[int, ...]]] = {}
        self._liveness: dict[NodeId, tuple[int, int]] = {}
        """The highest liveness that each member really had."""
        self._floors: dict[tuple[NodeId, int], dict[NodeId, tuple[tuple[int, int], str]]] = {}
        """The liveness and state in which each process held every other member, forgotten ones too."""
        self._suspectors: dict[tuple[NodeId, tuple[int, int]], set[NodeId]] = {}
        """The suspectors by whom each member was held gone at a liveness, on any host."""
        self._scanned: dict[int, tuple[int, bytes]] = {}
        """The run and the hash over all facts that each host had at the last look, ..."""
        self._held: dict[int, set[bytes]] = {}
        """... and the places in which it held one."""
        world.on_crash.append(self._note_liveness)

    def scan(self) -> None:
        """Check every fact of every honest Node."""
        for host in self._world.running():
            self._note_liveness(host)
        for host in self._world.running():
            if host.id in self._excuses.liars:
                continue
            self._scan_store(host)
            self._scan_liveness(host)
            self._scan_floors(host)

    def _note_liveness(self, host: Host) -> None:
        if host.node is not None:
            mine = host.node.inspect().own_liveness()
            self._liveness[host.id] = max(mine, self._liveness.get(host.id, (0, 0)))

    def _scan_store(self, host: Host) -> None:
        assert host.node is not None
        summary = host.node.inspect().summary()
        if self._scanned.get(host.number) == (host.run, summary):
            return
        self._scanned[host.number] = (host.run, summary)
        seen = self._versions.setdefault((host.id, host.run), {})
        facts, before = list(host.node.inspect().facts()), self._held.get(host.number, set[bytes]())
        self._held[host.number] = {signed.key for signed in facts}
        evictions = {signed.key for signed in facts if isinstance(signed.fact, Eviction)}
        stayed = before if evictions <= before else set[bytes]()  # a new eviction may have emptied any place
        for signed in facts:
            fact, key = signed.fact, signed.key
            if fact.version < seen.get(key, ()) and not self._may_go_back(fact, key in stayed):
                self._say(f"host{host.number} took an older {type(fact).__name__} after a newer one")
            seen[key] = fact.version
            if signed.data not in self._proven:
                self._prove(host, signed)

    def _may_go_back(self, fact: Any, stayed: bool) -> bool:
        """Whether the newer one was void, as are facts by or about the evicted, or had made room for others.

        Where only a few of a kind are kept, those of an evicted member leave room for what was too low
        before. Then the highest that any host still holds comes back, and it may be older than what had been
        dropped. ``stayed``: the newer one was held at the last look and no eviction was learned since.
        """
        if isinstance(fact, _FEW) and not stayed and any(self._world.evictions.values()):
            return True
        said_of = [fact.author, fact.subject] if isinstance(fact, Suspicion) else [fact.author]
        return any(self._world.is_disputed(id) for id in said_of)

    def _prove(self, host: Host, signed: Signed[Any]) -> None:
        """Check whether the fact may be stored at all; what was proved once stays proved."""
        assert host.node is not None
        fact, world = signed.fact, self._world
        what = f"host{host.number} stores a {type(fact).__name__}"
        key = world.keys.get(fact.author)
        if fact.pool != host.node.pool:
            self._say(f"{what} of another pool")
        elif key is None:
            self._say(f"{what} of an author that never existed")
        elif not signed.proven_by(key, world.verifier):
            self._say(f"{what} that is forged")
        elif not self._permitted(fact):
            self._say(f"{what} that its author had no right to say")
        else:
            self._proven.add(signed.data)

    def _permitted(self, fact: Any) -> bool:
        needed = _RIGHTS.get(fact.kind, Rights(0))
        founding = isinstance(fact, Voucher) and node_id(fact.key) == fact.author and fact.number == 1
        return founding or self._world.granted.get(fact.author, Rights(0)) & needed == needed

    def _scan_liveness(self, host: Host) -> None:
        """Only its subject raises a liveness."""
        assert host.node is not None
        for id, known in host.node.inspect().liveness().items():
            if known > self._liveness.get(id, known) and id not in self._excuses.liars:
                subject = self._world.host_of(id)
                self._say(
                    f"host{host.number} believes host{subject.number} at a liveness it never had: {known}"
                )

    def _scan_floors(self, host: Host) -> None:
        """What a Node knows of a member never goes back, not even after the member was forgotten."""
        assert host.node is not None
        inside, floors = host.node.inspect(), self._floors.setdefault((host.id, host.run), {})
        for id, (known, state) in inside.states().items():
            floor, before = floors.get(id, ((0, 0), state))
            subject = self._world.host_of(id)
            if self._world.is_disputed(id):
                continue  # what was known of an evicted member is void, even if the eviction did not stand
            if known < floor:
                self._say(f"host{host.number} believes host{subject.number} at an older liveness than before")
            if state in GONE:
                self._suspectors.setdefault((id, known), set()).update(inside.suspectors(id))
            elif known == floor and before in GONE and not self._is_acquitted(id, known):
                self._say(f"old news brought host{subject.number} back to life at host{host.number}")
            floors[id] = (known, state)

    def _is_acquitted(self, id: NodeId, liveness: tuple[int, int]) -> bool:
        """Whether an eviction may have voided the suspicions by which the member was held dead."""
        return any(map(self._world.is_disputed, self._suspectors.get((id, liveness), ())))

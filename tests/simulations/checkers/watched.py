"""A small pool with all checkers on it, to be broken by hand."""

from __future__ import annotations

from mesh.protocol.base.effects import Event, GateChanged, LeaderChanged, MembersChanged
from mesh.wire import codec
from mesh.wire.facts import Claim
from mesh.wire.signed_facts import sign
from simulations.checkers import Checkers
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.world import World


class Watched:
    """Hosts of one pool at rest, its checkers, and the means to feign what a Node would tell."""

    def __init__(self, count: int = 4, families: tuple[str, ...] | None = None) -> None:
        self.world = World(1)
        self.serving = Serving(self.world, {})
        self.checkers = Checkers(self.world, self.serving, families)
        self.hosts = [self.world.add(rank=50 - number) for number in range(count)]
        self.world.found(self.hosts[0])
        for host in self.hosts[1:]:
            self.world.join(host, self.hosts[0])
        self.world.run(5.0)
        assert self.said == ""

    @property
    def said(self) -> str:
        return "\n".join(self.checkers.violations)

    def claim(self, author: Host, term: int, rank: int = 9) -> Claim:
        assert author.node is not None
        assert author.node.pool is not None
        return Claim(author.node.pool, author.id, term, rank)

    def tell(self, host: Host, event: Event) -> None:
        for observer in self.world.observers:
            observer(self.world, host, event)

    def lend(self, worker: Host, claim: Claim | None) -> None:
        """The worker's gate opens to that claim, which its disk says too."""
        if claim is not None:
            claimant = self.world.host_of(claim.author)
            worker.disk.write(self.world.now, "grant", codec.pack([sign(claim, claimant.signer).data, 1]))
        self.tell(worker, GateChanged(claim))

    def follow(self, host: Host, claim: Claim) -> None:
        self.tell(host, LeaderChanged(claim))

    def look_at_members(self, host: Host) -> None:
        self.tell(host, MembersChanged())

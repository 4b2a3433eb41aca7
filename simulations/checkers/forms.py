"""No member signs in a form that a member cannot read which it has held present for a while."""

from __future__ import annotations

from functools import partial

from mesh.protocol.membership.peers import PRESENT
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId
from mesh.wire.signed_facts import Signed
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.programs import form_of
from simulations.world import World

PATIENCE = 1.5
"""Seconds: a member signs at most two records a second, and a look comes every two."""
_NAME = "forms"


def own_record(host: Host) -> Signed[Record] | None:
    """The record that a host's Node holds of itself."""
    assert host.node is not None
    facts = host.node.inspect().facts(Record)
    return next((signed for signed in facts if signed.fact.author == host.id), None)


class Forms:
    """Compares the form of each member's record with what the programs of the members it knows of speak."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._unread: dict[tuple[int, int, NodeId, int], float] = {}
        """Since when each process holds a run of another present that cannot read it."""

    def scan(self) -> None:
        """Look at every honest Node, at what it signed last and at whom it holds present."""
        unread: dict[tuple[int, int, NodeId, int], float] = {}
        for host in self._world.running():
            record = None if host.id in self._excuses.liars else own_record(host)
            if record is None:
                continue
            form = form_of(record)
            for other in self._present(host):
                if other.node is None or other.program.speaks.newest >= form:
                    continue
                run = (host.number, host.run, other.id, other.node.generation)
                since = unread[run] = max(self._unread.get(run, self._world.now), host.paused_until)
                if self._world.now - since >= PATIENCE:
                    self._say(
                        f"host{host.number} signs in the form of version {form} though it has known for long "
                        f"that host{other.number} speaks {other.program.speaks}"
                    )
        self._unread = unread

    def _present(self, host: Host) -> list[Host]:
        """The honest hosts whose running process a host holds present, by a record of that process."""
        assert host.node is not None
        found = []
        for member in host.node.members():
            other = self._world.host_of(member.id)
            if other is host or member.state not in PRESENT or other.id != member.id or other.node is None:
                continue
            last = own_record(other)
            known = member.record is not None and last is not None and member.record.nonce == last.fact.nonce
            if known and other.id not in self._excuses.liars:
                found.append(other)
        return found

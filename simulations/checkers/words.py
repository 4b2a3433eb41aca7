"""While a pool has four members or more, no member is held dead on the word of a single other."""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.effects import Event, MembersChanged
from mesh.protocol.membership.peers import PRESENT, MemberState
from mesh.protocol.node.inspect import Inspection
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Verdicts
from simulations.hosts import Host
from simulations.world import World

_NAME = "words"
_FEW = 4


class Words:
    """Checks each death, in the moment in which a Node decides on it, by the suspicions that it rests on."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._present: dict[tuple[NodeId, int], set[NodeId]] = {}
        """The members that each process held alive or suspect when it last reported a change."""
        world.observers.append(self._observe)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if not isinstance(event, MembersChanged) or host.node is None:
            return
        inside = host.node.inspect()
        states = {id: state for id, (_, state) in inside.states().items()}
        before = self._present.get((host.id, host.run), set())
        present = self._present[host.id, host.run] = {id for id in states if states[id] in PRESENT}
        if 1 + len(present) + 1 < _FEW:  # itself, those that are left, and the one that was there just before
            return
        for id in sorted(id for id in before if states.get(id) is MemberState.DEAD):
            if (
                not inside.saw_for_itself(id)
                and not self._is_told_by_several(inside, id)
                and _is_understood(host, id)
            ):
                victim = world.host_of(id)
                self._say(f"host{host.number} holds host{victim.number} dead on a single suspicion")

    def _is_told_by_several(self, inside: Inspection, id: NodeId) -> bool:
        """Whether two members signed a suspicion; that of one evicted since may have counted."""
        disputed = any(map(self._world.is_disputed, inside.suspectors(id)))
        return disputed or len(inside.signed_suspectors(id)) > 1


def _is_understood(host: Host, id: NodeId) -> bool:
    """Whether a host could speak with the member; one whose record says otherwise counts as dead."""
    member = None if host.node is None else host.node.member(id)
    speaks = None if member is None or member.record is None else member.record.speaks
    return speaks is None or host.program.speaks.common(speaks) is not None

"""Which state each member holds the others in, followed from outside at every change."""

from __future__ import annotations

from collections import Counter

from mesh.protocol.base.effects import Event, MembersChanged
from mesh.protocol.membership.peers import MemberState
from mesh.wire.identity import NodeId
from simulations.measures.ready_pool import state_of
from simulations.world import Host, World


class StateWatch:
    """Notes each change of state that a running member sees in another; looks at all, so for small pools.

    ``deaths`` counts (observer, subject) pairs that turned dead; ``changes`` counts how often each turned
    dead or back.
    """

    def __init__(self, world: World) -> None:
        self._ids = {host.number: host.id for host in world.hosts}
        self._states: dict[tuple[int, int], MemberState | None] = {}
        self.deaths: Counter[tuple[int, int]] = Counter()
        self.changes: Counter[tuple[int, int]] = Counter()
        for host in world.running():
            self.look(host)
        self.deaths.clear()
        self.changes.clear()
        world.observers.append(self._observe)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, MembersChanged):
            self.look(host)

    def look(self, host: Host) -> None:
        """Compare what a running host holds of the others with what it held before."""
        for subject, id in self._ids.items():
            pair, state = (host.number, subject), state_of(host, id)
            before = self._states.get(pair)
            if subject != host.number and before != state:
                self._states[pair] = state
                self.changed(host.number, subject, before, state)

    def changed(
        self, observer: int, subject: int, before: MemberState | None, state: MemberState | None
    ) -> None:
        """One host holds another in another state than before."""
        if (before is MemberState.DEAD) != (state is MemberState.DEAD):
            self.changes[observer, subject] += 1
            self.deaths[observer, subject] += state is MemberState.DEAD

    def dead(self, subjects: set[int], by: set[int]) -> list[tuple[int, int]]:
        """The pairs (observer, subject) that turned dead at some time."""
        return [pair for pair in self.deaths if pair[1] in subjects and pair[0] in by]


class DeathWatch:
    """When each running member first held this one dead; for pools of any size."""

    def __init__(self, world: World, victim: NodeId) -> None:
        self._victim = victim
        self.at: dict[int, float] = {}
        world.observers.append(self._observe)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        news = isinstance(event, MembersChanged) and host.number not in self.at
        if news and state_of(host, self._victim) is MemberState.DEAD:
            self.at[host.number] = world.now

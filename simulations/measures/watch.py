"""Who holds whom for what, followed from outside at every change."""

from __future__ import annotations

from collections import Counter

from mesh.protocol.base.effects import Event, MembersChanged
from mesh.protocol.membership.peers import DEAD, SUSPECT
from mesh.wire.identity import NodeId
from simulations.measures.lab import Lab
from simulations.measures.pool import is_steady, state_of
from simulations.world import Host, World


class Watch:
    """Notes each change of state that a running member sees in another; looks at all, so for small pools.

    ``deaths`` counts (observer, subject) pairs that turned dead; ``changes`` counts how often each turned
    dead or back; ``suspected`` says for each subject who suspects it now. A member that says itself that it
    cannot be reached well is held dead by all, but killed by none.
    """

    def __init__(self, world: Lab) -> None:
        self._ids = {host.number: host.id for host in world.hosts}
        self._states: dict[tuple[int, int], str | None] = {}
        self.deaths: Counter[tuple[int, int]] = Counter()
        self.changes: Counter[tuple[int, int]] = Counter()
        self.suspected: dict[int, set[int]] = {}
        self.suspicions = 0
        """Episodes: a member came to be suspected by some while it was suspected by none."""
        self.begun: list[tuple[int, int]] = []
        """Episodes that began: the subject, and who suspected it; emptied by whoever reads it."""
        self.killed: Counter[int] = Counter()
        """For each subject the episodes in which someone held it dead."""
        self._spared: set[int] = set()
        """Whom nobody has held dead yet in the present episode."""
        self.withdrawn = 0
        """How often a running member came to say so of itself."""
        self._away: set[int] = set()
        for host in world.running():
            self._look(host)
        self.withdrawn = 0
        self.deaths.clear()
        self.changes.clear()
        self.suspicions = 0
        self.begun.clear()
        self.killed.clear()
        world.observers.append(self._observe)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, MembersChanged):
            self._look(host)

    def _look(self, host: Host) -> None:
        if not is_steady(host) and host.number not in self._away:
            self._away.add(host.number)
            self.withdrawn += 1
        elif is_steady(host):
            self._away.discard(host.number)
        for subject, id in self._ids.items():
            if subject != host.number:
                self._note(host.number, subject, state_of(host, id))

    def _note(self, observer: int, subject: int, state: str | None) -> None:
        before = self._states.get((observer, subject))
        if before == state:
            return
        self._states[observer, subject] = state
        if (before == DEAD) != (state == DEAD):
            self.changes[observer, subject] += 1
            self.deaths[observer, subject] += state == DEAD
            if state == DEAD and subject in self._spared and subject not in self._away:
                self._spared.discard(subject)
                self.killed[subject] += 1
        if state == SUSPECT:
            suspecting = self.suspected.setdefault(subject, set())
            if not suspecting:
                self.suspicions += 1
                self.begun.append((subject, observer))
                self._spared.add(subject)
            suspecting.add(observer)
        elif before == SUSPECT:
            self.suspected[subject].discard(observer)

    def dead(self, subjects: set[int], by: set[int]) -> list[tuple[int, int]]:
        """The pairs (observer, subject) that turned dead at some time."""
        return [pair for pair in self.deaths if pair[1] in subjects and pair[0] in by]


class Known:
    """When each running member first held this one dead; for pools of any size."""

    def __init__(self, world: Lab, victim: NodeId) -> None:
        self._victim = victim
        self.at: dict[int, float] = {}
        world.observers.append(self._observe)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        news = isinstance(event, MembersChanged) and host.number not in self.at
        if news and state_of(host, self._victim) == DEAD:
            self.at[host.number] = world.now

"""Episodes of suspicion and death, followed from outside at every change."""

from __future__ import annotations

from collections import Counter

from mesh.protocol.membership.peers import MemberState
from simulations.measures.state_watch import StateWatch
from simulations.world import Host, World


class EpisodeWatch(StateWatch):
    """Counts episodes beside changes of state.

    A member that withdraws because of its own link is held dead by all, but that is no false death.
    """

    def __init__(self, world: World) -> None:
        self.suspected: dict[int, set[int]] = {}
        """For each subject the hosts that suspect it now."""
        self.suspicions = 0
        """Episodes: some host came to suspect a member that none suspected."""
        self.begun: list[tuple[int, int]] = []
        """Episodes that began: the subject, and the host that suspected it; readers empty the list."""
        self.killed: Counter[int] = Counter()
        """For each subject the episodes in which some host held it dead."""
        self.withdrawn = 0
        """How often a running member withdrew."""
        self._spared: set[int] = set()
        """The subjects that no host has held dead yet in the present episode."""
        self._away: set[int] = set()
        self._hosts = world.hosts
        super().__init__(world)
        self.suspicions = self.withdrawn = 0
        self.begun.clear()
        self.killed.clear()

    def _note_withdrawal(self, host: Host) -> None:
        if host.node is None or not host.node.inspect().is_quarantined():
            self._away.discard(host.number)
        elif host.number not in self._away:
            self._away.add(host.number)
            self.withdrawn += 1

    def changed(
        self, observer: int, subject: int, before: MemberState | None, state: MemberState | None
    ) -> None:
        super().changed(observer, subject, before, state)
        self._note_withdrawal(self._hosts[subject])
        if state is MemberState.DEAD and subject in self._spared and subject not in self._away:
            self._spared.discard(subject)
            self.killed[subject] += 1
        if state is MemberState.SUSPECT:
            suspecting = self.suspected.setdefault(subject, set())
            if not suspecting:
                self.suspicions += 1
                self.begun.append((subject, observer))
                self._spared.add(subject)
            suspecting.add(observer)
        elif before is MemberState.SUSPECT:
            self.suspected[subject].discard(observer)

"""Whether this very member can be reached well enough to count: the cure for members that flap.

A member behind a bad link is accused and refutes, over and over. It alone hears all its accusers, so it
judges itself, and its signed liveness tells everyone at once: held dead while it says that it is not steady,
alive again when it says that it is. (Suresh et al., "Stable and Consistent Membership at Scale with Rapid",
USENIX ATC 2018, shows why such members must be removed once and stay away.)
"""

from __future__ import annotations

from collections import deque

from mesh.protocol.settings import Settings
from mesh.wire.facts import Version
from mesh.wire.identity import NodeId

_MAX_ACCUSATIONS = 256
_PROBERS = 24
_SAMPLES = 32
_GOOD_SAMPLES = 20
_EPISODES = 4


class Steadiness:
    """One member's judgement of its own reachability."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._accusations: dict[tuple[NodeId, Version], float] = {}
        self._direct: deque[bool] = deque(maxlen=_SAMPLES)
        self._quarantine = settings.quarantine
        self._until = 0.0
        self.holds = True

    def accused(self, now: float, author: NodeId, liveness: Version, live: int, unsteady: int = 0) -> bool:
        """An accusation came, in a pool of ``live``; True when this makes it too many to go on.

        Too many: within the window by more than half of those who probe it (of 24 in large pools), and of so
        many livenesses that no single burst, however wide, is the reason. Not when a quarter of the pool is
        ``unsteady`` already: then it is the network, and no member, that is to blame.
        """
        if not self.holds:
            return False
        start = now - self._settings.unsteady_window
        self._accusations = {key: at for key, at in self._accusations.items() if at > start}
        if len(self._accusations) < _MAX_ACCUSATIONS:
            self._accusations[author, liveness] = now
        accusers = {key[0] for key in self._accusations}
        few = 4 * (unsteady + 1) <= live + unsteady
        wide = few and 2 * len(accusers) > min(live - 1, _PROBERS)
        often = len({key[1] for key in self._accusations}) >= _EPISODES
        if not (wide and often and len(self._accusations) >= self._settings.unsteady_accusations):
            return False
        self.holds = False
        self._until = now + self._quarantine
        self._quarantine = min(2 * self._quarantine, self._settings.max_quarantine)
        self._accusations.clear()
        self._direct.clear()
        return True

    def probed(self, now: float, direct: bool) -> bool:
        """A probe in turn ended, answered directly or not; True when this makes the member steady again.

        It has to keep away for its quarantine, and 20 of its last 32 probes have to be answered directly:
        either direction of a link that loses most of what it carries spoils that. (20 of 32 come about once
        in 10^7 when each succeeds with 0.2, and mostly where a fifth of all datagrams is lost.)
        """
        self._direct.append(direct)
        good = sum(self._direct) >= _GOOD_SAMPLES
        if self.holds or now < self._until or not good:
            return False
        self.holds = True
        return True

    def alone(self, now: float) -> bool:
        """There is nobody to be probed; True when the end of the quarantine makes it steady again."""
        if self.holds or now < self._until:
            return False
        self.holds = True
        return True

    def restart(self) -> None:
        """A new incarnation begins with a clean sheet, but for the length of the next quarantine."""
        self.holds = True
        self._accusations.clear()
        self._direct.clear()

"""Flap detection: a member judges whether others can reach it, and quarantines itself while they cannot.

Others suspect a member behind a bad link and it refutes, over and over. It alone hears all its suspectors,
and sees that all its own probes need more than one try. So it judges itself, and its signed liveness tells
all members at once: they hold it dead while it says that it is not stable, alive again when it says that it
is. (Suresh et al., "Stable and Consistent Membership at Scale with Rapid", USENIX ATC 2018, shows why such
members must be removed once and stay away.)
"""

from __future__ import annotations

from collections import deque

from mesh.protocol.base.settings import Settings
from mesh.wire.facts import Version
from mesh.wire.identity import NodeId

MAX_SUSPICIONS = 256
_PROBERS = 24
MAX_SAMPLES = 32
_GOOD_SAMPLES = 20
_EPISODES = 4
FAILED_STEP, ANSWERED_STEP = 2, -3
"""About log(0.8 / 0.36) and log(0.2 / 0.64), in units of 0.4."""
THRESHOLD = 64
_DEGRADED = 16


class FlapDetector:
    """One member's judgement of its own reachability."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._suspicions: dict[tuple[NodeId, Version], float] = {}
        self._direct: deque[bool] = deque(maxlen=MAX_SAMPLES)
        self._quarantine = settings.quarantine
        self._until = 0.0
        self._degradation = 0
        self.stable = True

    @property
    def degraded(self) -> bool:
        """Whether so many first pings failed of late that the node probes faster, to judge soon."""
        return self._degradation >= _DEGRADED

    def suspected(self, now: float, author: NodeId, liveness: Version, live: int, unstable: int = 0) -> bool:
        """Count a suspicion by ``author``, in a pool of ``live``; True when it starts a quarantine.

        That takes ``flap_suspicions`` within the window, by more than half of the probers (of 24 in large
        pools), and of so many livenesses that no single burst, however wide, is the reason. It does not
        happen when a quarter of the pool is unstable (``unstable`` members) already: then the network, and
        no member, is to blame.
        """
        if not self.stable:
            return False
        start = now - self._settings.flap_window
        self._suspicions = {key: at for key, at in self._suspicions.items() if at > start}
        if len(self._suspicions) < MAX_SUSPICIONS:
            self._suspicions[author, liveness] = now
        suspectors = {key[0] for key in self._suspicions}
        wide = 2 * len(suspectors) > min(live - 1, _PROBERS)
        often = len({key[1] for key in self._suspicions}) >= _EPISODES
        if not (wide and often and len(self._suspicions) >= self._settings.flap_suspicions):
            return False
        return self._begin_quarantine(now, live, unstable)

    def _begin_quarantine(self, now: float, live: int, unstable: int) -> bool:
        """Begin a quarantine, unless so many members are in one that the network is to blame."""
        if 4 * (unstable + 1) > live + unstable:
            return False
        self.stable = False
        self._until = now + self._quarantine
        self._quarantine = min(2 * self._quarantine, self._settings.max_quarantine)
        self._degradation = 0
        self._suspicions.clear()
        self._direct.clear()
        return True

    def probed(self, now: float, direct: bool, live: int, unstable: int = 0) -> bool:
        """Count an answered probe in turn, ``direct``: its first ping; True when the judgement changes.

        Only a live member answers, so a failed first ping speaks of the link, whichever way lost it. A sum
        over these (Page, "Continuous Inspection Schemes", 1954: CUSUM) tells four fifths lost one way (of the
        first pings 0.2 succeed) from a fifth lost everywhere (0.64). It needs a median of 60 probes, 110 at
        the 99th percentile; the latter passes for the former once in 6 * 10^7 member-hours.

        A quarantine ends after its time, and only when 20 of the last 32 first pings were answered. That
        happens once in 10^7 when each succeeds with 0.2, and mostly where a fifth of all is lost.
        """
        if self.stable:
            self._degradation = min(
                THRESHOLD, max(0, self._degradation + (ANSWERED_STEP if direct else FAILED_STEP))
            )
            return self._degradation >= THRESHOLD and self._begin_quarantine(now, live, unstable)
        self._direct.append(direct)
        if now < self._until or sum(self._direct) < _GOOD_SAMPLES:
            return False
        self.stable = True
        return True

    def alone(self, now: float) -> bool:
        """There is no member to probe; True when the quarantine has had its time and so ends."""
        if self.stable or now < self._until:
            return False
        self.stable = True
        return True

    def restart(self) -> None:
        """Forget the evidence for a new generation, but keep the length of the next quarantine."""
        self.stable = True
        self._degradation = 0
        self._suspicions.clear()
        self._direct.clear()

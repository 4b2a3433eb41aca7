"""Whose request ended the engine. Pure.

llama-server computes the requests of several members together, so a death names several. Each death is
shared equally among those whose requests were in it; shares halve in ten minutes; a member whose shares come
to one is suspended. One death has one culprit. Once it is found, the deaths at which its requests were in the
engine are explained: the others' shares of them are taken back, and what their requests stand under.

Only the death of an engine on a machine that lives counts here. When a leader's machine or sidecar dies,
nobody is to blame.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from leader.door.orders import Refused

HALVING: Final = 600.0
"""Seconds in which a share of a death halves."""
SUSPECT: Final = 0.9
"""Shares that suspend: one death alone, or two of two, which have faded a little since."""
FIRST_SUSPENSION: Final = 60.0
LONGEST_SUSPENSION: Final = 3600.0
QUIET: Final = 3600.0
"""Seconds without a death after which the next suspension is a first one again."""
MOST_DEATHS_OF_A_REQUEST: Final = 2
"""It is repeated once."""
LINGER: Final = 10.0
"""Seconds for which a request that had no whole answer counts as in the engine."""
REMEMBERED: Final = 3600.0
"""Seconds for which a request is known by which the engine died."""
MAX_LINGERING: Final = 8
"""Requests of a member that count for so long: one is enough to blame it."""
MAX_REQUESTS: Final = 1024
MAX_DEATHS: Final = 64
MAX_BLAMED: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class InEngine:
    """A request that llama-server computes; ``digest`` is the same when it is asked again."""

    member: str
    digest: bytes
    owner: bool
    since: float


@dataclass(frozen=True, slots=True)
class Death:
    """An end of the engine, and the requests that were in it."""

    at: float
    requests: tuple[InEngine, ...]

    @property
    def latest(self) -> dict[str, float]:
        """By member, when the latest of its requests began."""
        return {one.member: one.since for one in self.requests}


@dataclass(slots=True)
class Blamed:
    """A member during whose requests the engine died, how often, and its suspensions."""

    deaths: int = 0
    suspended_until: float = 0.0
    next_seconds: float = FIRST_SUSPENSION

    def suspend(self, now: float) -> None:
        """Suspend it, for twice as long as the last time, unless it was quiet since."""
        if now - self.suspended_until > QUIET:
            self.next_seconds = FIRST_SUSPENSION
        self.suspended_until = now + self.next_seconds
        self.next_seconds = min(LONGEST_SUSPENSION, 2 * self.next_seconds)


class EngineDeaths:
    """Follows what is in the engine, and blames those by whom it dies."""

    def __init__(self) -> None:
        self._running: dict[InEngine, float] = {}
        """Those in the engine, in the order in which they came, and until when each counts as in it."""
        self._deaths: list[Death] = []
        self._requests: OrderedDict[tuple[str, bytes], tuple[int, float]] = OrderedDict()
        self._blamed: OrderedDict[str, Blamed] = OrderedDict()

    def begin(self, now: float, member: str, digest: bytes, *, owner: bool = False) -> InEngine:
        """llama-server gets a request."""
        self._forget_lingering(now)
        request = InEngine(member, digest, owner, now)
        self._running[request] = inf
        return request

    def end(self, now: float, request: InEngine, *, whole: bool = True) -> None:
        """It is in llama-server no longer: the answer is whole. A second call does nothing.

        An answer that is not ``whole``, as when llama-server was lost or the client hung up, may have ended
        the engine nevertheless, of which one hears a moment later: it counts for so long.
        """
        if whole:
            self._running.pop(request, None)
        elif self._running.get(request) == inf:
            self._running[request] = now + LINGER
            of_it = [one for one, to in self._running.items() if to < inf and one.member == request.member]
            for oldest in of_it[:-MAX_LINGERING]:
                del self._running[oldest]
        self._forget_lingering(now)

    def died(self, now: float) -> Sequence[str]:
        """The engine died of itself on a machine that lives; return who is newly suspended: one, or none."""
        self._forget_lingering(now)
        death = Death(now, tuple(self._running))
        self._running.clear()
        if not death.requests:
            return ()
        self._deaths = [*(one for one in self._deaths if now - one.at < REMEMBERED), death][-MAX_DEATHS:]
        for member, digest in {(one.member, one.digest) for one in death.requests}:
            self._strike(now, member, digest)
        for member in death.latest:
            self._entry(now, member).deaths += 1
        culprit = self._culprit(now, death)
        if culprit is None:
            return ()
        self._explain(culprit.member)
        if culprit.owner:
            return ()
        self._entry(now, culprit.member).suspend(now)
        return (culprit.member,)

    def refusal(self, now: float, member: str, digest: bytes) -> Refused | None:
        """Why the member's request does not come into the engine; None when it may."""
        seconds = self.suspended_seconds(now, member)
        if seconds > 0:
            text = "the engine died during requests of this member, which is suspended for {:.0f} s more"
            return Refused(429, "suspended", text.format(seconds), retry_after=seconds)
        deaths, at = self._requests.get((member, digest), (0, now))
        if deaths >= MOST_DEATHS_OF_A_REQUEST and now - at < REMEMBERED:
            text = f"the engine died {deaths} times while it computed this request, which is not tried again"
            return Refused(422, "engine_died", text)
        return None

    def present(self, now: float) -> list[str]:
        """The members whose requests count as in the engine."""
        self._forget_lingering(now)
        return sorted({one.member for one in self._running})

    def goes_first(self, member: str, digest: bytes) -> bool:
        """Whether a request waits that an unexplained death cut off: it is to start before those that wait.

        So whoever ends the engine by one new request after the other comes last, and is told from the others.
        """
        return self._requests.get((member, digest), (0, 0.0))[0] > 0

    def suspended_seconds(self, now: float, member: str) -> float:
        """For how long the member is suspended yet."""
        blamed = self._blamed.get(member)
        return 0.0 if blamed is None else max(0.0, blamed.suspended_until - now)

    def deaths(self, member: str) -> int:
        """How often the engine died while it had a request of the member."""
        blamed = self._blamed.get(member)
        return 0 if blamed is None else blamed.deaths

    def _forget_lingering(self, now: float) -> None:
        for request in [one for one, until in self._running.items() if until < now]:
            del self._running[request]

    def _strike(self, now: float, member: str, digest: bytes) -> None:
        count, at = self._requests.pop((member, digest), (0, now))
        self._requests[member, digest] = (1 if now - at >= REMEMBERED else count + 1, now)
        while len(self._requests) > MAX_REQUESTS:
            self._requests.popitem(last=False)

    def _entry(self, now: float, member: str) -> Blamed:
        """The member's, made if need be; of too many, the one goes that was blamed the longest ago."""
        blamed = self._blamed.setdefault(member, Blamed())
        self._blamed.move_to_end(member)
        while len(self._blamed) > MAX_BLAMED:
            free = (id for id, one in self._blamed.items() if one.suspended_until <= now)
            del self._blamed[next(free, next(iter(self._blamed)))]
        return blamed

    def _culprit(self, now: float, death: Death) -> InEngine | None:
        """Of those whose shares come to one, the member with the most; of equals, whose requests came last.

        That counts over all these deaths: a request that ends the engine does so soon, as a rule, and what
        others asked a moment later was there by chance. An owner is nobody's equal, and not suspended; but
        where an owner has the most, the others are spared.
        """
        shares: defaultdict[str, float] = defaultdict(float)
        ages: defaultdict[str, float] = defaultdict(float)
        for one in self._deaths:
            for member, since in one.latest.items():
                shares[member] += 0.5 ** ((now - one.at) / HALVING) / len(one.latest)
                ages[member] += one.at - since
        suspects = [one for one in death.requests if shares[one.member] >= SUSPECT]
        return max(
            suspects,
            key=lambda one: (round(shares[one.member], 6), not one.owner, -ages[one.member]),
            default=None,
        )

    def _explain(self, culprit: str) -> None:
        """Take the deaths during the culprit's requests from all: the others had no part in them."""
        for death in (one for one in self._deaths if culprit in one.latest):
            for member, digest in {(one.member, one.digest) for one in death.requests}:
                count, at = self._requests.get((member, digest), (0, 0.0))
                if member != culprit and count > 0:
                    self._requests[member, digest] = (count - 1, at)
        self._deaths = [one for one in self._deaths if culprit not in one.latest]

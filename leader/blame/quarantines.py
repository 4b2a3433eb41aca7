"""For how long each is left out, and why: twice as long each time, until long good service. Pure."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

FIRST: Final = 60.0
"""Seconds of the first quarantine; ..."""
LONGEST: Final = 3600.0
"""... each later one is twice as long, up to this."""
FORGIVEN: Final = 3600.0
"""Seconds of good service after which the next quarantine is a first one again."""
MAX_REMEMBERED: Final = 256
LONGEST_WORDS: Final = 4096
"""Characters of a reason, which may hold a worker's last words."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """It is left out for ``seconds`` more, for the ``times``-th time."""

    seconds: float
    reason: str
    times: int = 1


@dataclass(slots=True)
class _Entry:
    until: float
    length: float
    reason: str
    times: int = 1
    good: float = 0.0


class Quarantines(Generic[K]):
    """Those that failed, by any key: a device of a member, or the shape of a plan."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._entries: OrderedDict[K, _Entry] = OrderedDict()

    def blame(self, now: float, key: K, reason: str) -> float:
        """It failed again: leave it out, for twice as long as the last time. Returns the seconds."""
        before = self._entries.pop(key, None)
        length = self._first if before is None else min(self._longest, 2 * before.length)
        times = 1 if before is None else before.times + 1
        self._entries[key] = _Entry(now + length, length, reason[:LONGEST_WORDS], times)
        while len(self._entries) > MAX_REMEMBERED:  # the one goes that failed the longest ago
            self._entries.popitem(last=False)
        return length

    @property
    def remembered(self) -> Sequence[K]:
        """All that are remembered, left out or not."""
        return list(self._entries)

    def explain(self, key: K, reason: str) -> None:
        """More became known of why it failed."""
        if key in self._entries:
            self._entries[key].reason = reason[:LONGEST_WORDS]

    def adopt(self, now: float, key: K, seconds: float, reason: str) -> None:
        """Another leader left it out for so many seconds more; the next time is at least twice as long."""
        seconds = max(0.0, min(self._longest, seconds))
        held = self._entries.get(key)
        if held is not None and held.until >= now + seconds:
            return
        length = max(self._first, seconds, 0.0 if held is None else held.length)
        times = 1 if held is None else held.times
        self._entries.pop(key, None)
        self._entries[key] = _Entry(now + seconds, length, reason[:LONGEST_WORDS], times)
        while len(self._entries) > MAX_REMEMBERED:
            self._entries.popitem(last=False)

    def served(self, key: K, seconds: float) -> None:
        """It did its part for so many seconds; enough of that, and it is forgotten that it ever failed."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.good += seconds
            if entry.good >= FORGIVEN:
                del self._entries[key]

    def left_out(self, now: float) -> Mapping[K, Exclusion]:
        """Those that are left out now."""
        return {
            key: Exclusion(entry.until - now, entry.reason, entry.times)
            for key, entry in self._entries.items()
            if entry.until > now
        }

"""Rate limits per source: token buckets, for a bounded number of sources."""

from collections import OrderedDict
from collections.abc import Hashable

from mesh.protocol.limits.token_bucket import TokenBucket

MAX_SOURCES = 4096


class Meter:
    """Each source's bucket fills at ``rate`` a second up to ``burst``; the longest idle are forgotten."""

    def __init__(self, rate: float, burst: float, most: int = MAX_SOURCES) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, source: Hashable, now: float) -> bool:
        """Whether the source may have one more; takes the token if so."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = TokenBucket(self._rate, self._burst, now)
        self._buckets.move_to_end(source)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket.take(now)

    def give_back(self, source: Hashable) -> None:
        """Return the last token: it is not to count."""
        if source in self._buckets:
            self._buckets[source].give_back()

"""How many signatures a node verifies for each source: a flood from one address must not slow others.

A datagram costs one token, and so does each fact that a member hands over. An address that a member has
proven to speak from has a bucket of its own. All other ports of a host share one, and all strangers together
one more, so that neither many ports nor many forged hosts get further.
"""

from __future__ import annotations

from mesh.protocol.limits.token_bucket import TokenBucket
from mesh.wire.endpoint import Endpoint

_MEMBER_RATE, _MEMBER_BURST = 1000.0, 4000.0
_HOST_RATE, _HOST_BURST = 100.0, 400.0
_STRANGERS_RATE, _STRANGERS_BURST = 500.0, 1000.0
_MAX_MEMBERS = 16384
MAX_HOSTS = 1024


class RateLimits:
    """The buckets of one node; both tables are bounded, the oldest bucket goes first."""

    def __init__(self) -> None:
        self._members: dict[Endpoint, TokenBucket] = {}
        self._hosts: dict[str, TokenBucket] = {}
        self._strangers = TokenBucket(_STRANGERS_RATE, _STRANGERS_BURST, 0.0)

    def allow(self, now: float, source: Endpoint, cost: float = 1.0) -> bool:
        """Whether ``cost`` more signatures from ``source`` may be verified; takes the tokens for them."""
        bucket = self._members.get(source)
        if bucket is not None:
            return bucket.take(now, cost)
        host = self._hosts.get(source.host)
        if host is None:
            if len(self._hosts) >= MAX_HOSTS:
                del self._hosts[next(iter(self._hosts))]
            host = self._hosts[source.host] = TokenBucket(_HOST_RATE, _HOST_BURST, now)
        return host.take(now, cost) and self._strangers.take(now, cost)

    def knows(self, source: Endpoint) -> bool:
        """Whether a member has proven to speak from ``source``."""
        return source in self._members

    def proven(self, now: float, source: Endpoint) -> None:
        """A member's signature on a datagram from ``source`` was valid: give it a bucket of its own."""
        if source not in self._members:
            if len(self._members) >= _MAX_MEMBERS:
                del self._members[next(iter(self._members))]
            self._members[source] = TokenBucket(_MEMBER_RATE, _MEMBER_BURST, now)

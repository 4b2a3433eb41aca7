"""The sets of facts of members of version 2, which never hold what they cannot read.

The last record of a member that is gone may be in the newer form, for example; a member of version 2 learns
neither that nor the suspicions that rest on it. Its set then differs from others' for good. It compares sets
as long as the hashes that it is told differ, so it is told its own one once a comparison can bring nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.protocol.base.context import Context
from mesh.protocol.facts.store import FactStore
from mesh.protocol.membership.membership import Membership
from mesh.wire.identity import NodeId
from mesh.wire.versions import GROWING

COMPARE_AGAIN = 10.0
"""Seconds until sets that did not change are compared again, for a datagram of the last time may be lost."""
MAX_COMPARED = 128


class _Compared(NamedTuple):
    """The set hashes here and there at a comparison, and when it was (seconds)."""

    ours: bytes
    theirs: bytes
    at: float


class OlderSets:
    """Remembers the comparisons of one member with those of version 2."""

    def __init__(self, context: Context, store: FactStore, membership: Membership) -> None:
        self._context = context
        self._store = store
        self._membership = membership
        self._last: dict[NodeId, _Compared] = {}

    def is_older(self, id: NodeId) -> bool:
        """Whether the member speaks version 2 alone."""
        peer = self._membership.peers.get(id)
        return peer is not None and peer.record is not None and peer.record.speaks.newest < GROWING

    def summary_for(self, id: NodeId) -> bytes:
        """The set hash to tell that member: this node's, or its own where the two were compared of late."""
        last = self._last.get(id)
        if last is None or not self._is_valid(last) or not self.is_older(id):
            return self._store.summary
        return last.theirs

    def is_vain(self, id: NodeId, theirs: bytes) -> bool:
        """Whether this node's set was compared with that one of the member's just so, a short while ago."""
        last = self._last.get(id)
        return last is not None and last.theirs == theirs and self._is_valid(last) and self.is_older(id)

    def compared(self, id: NodeId, theirs: bytes) -> None:
        """Note that a comparison with the member began, which has told that set hash last."""
        if self.is_older(id):
            if len(self._last) >= MAX_COMPARED:
                self._last.clear()
            self._last[id] = _Compared(self._store.summary, theirs, self._context.now)

    def _is_valid(self, last: _Compared) -> bool:
        return last.ours == self._store.summary and self._context.now < last.at + COMPARE_AGAIN

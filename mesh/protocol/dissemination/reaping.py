"""Reaping (Serf's word): a node forgets members that are gone for long, and shows and probes them no more.

The floor below which nothing about such a member counts stays: its liveness, with its last signed record and
the suspicions as proof for members that join later. All stores keep these alike, so sets agree whether or not
a node has forgotten the member. One that speaks again, or starts anew, is a peer as before.
"""

from __future__ import annotations

from mesh.protocol.base.context import Context
from mesh.protocol.dissemination.bootstrap import Bootstrap
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.peers import MemberState, Peer
from mesh.protocol.membership.probes import Prober

REAP = "reap"
_SHARE = 60
"""The reaper looks so many times within the shorter of the two limits."""


class Reaper:
    """Forgets dead and departed members in one Node's view."""

    def __init__(
        self, context: Context, membership: Membership, prober: Prober, bootstrap: Bootstrap
    ) -> None:
        self._context = context
        self._membership = membership
        self._prober = prober
        self._bootstrap = bootstrap

    def start(self) -> None:
        """Look again in a while, for as long as the Node runs."""
        settings = self._context.settings
        period = min(settings.reap_dead, settings.reap_left) / _SHARE
        self._context.schedule_by(REAP, b"", self._context.now + period)

    def reap(self) -> None:
        """Forget members that are gone too long, and of too many the longest gone."""
        self.start()
        gone = [peer for peer in self._membership.peers.values() if not peer.present]
        gone.sort(key=lambda peer: (peer.changed_at, peer.id))
        surplus = len(gone) - self._context.settings.max_gone
        for number, peer in enumerate(gone):
            if number < surplus or self._is_overdue(peer):
                self._forget(peer)

    def _is_overdue(self, peer: Peer) -> bool:
        settings = self._context.settings
        limit = settings.reap_left if peer.state is MemberState.LEFT else settings.reap_dead
        return self._context.now - peer.changed_at >= limit

    def _forget(self, peer: Peer) -> None:
        # The other half of a network that was cut for hours is dead as well: it gets a hello now and then.
        if peer.state is not MemberState.LEFT and peer.endpoint is not None:
            self._bootstrap.remember(peer.endpoint)
        self._membership.forget(peer.id)
        self._prober.forget(peer.id)

"""Which datagrams of each member came already: a sliding window over their numbers (as in RFC 4303, 3.4.3).

Numbers rise over restarts, for the incarnation is their upper part; they are noted once the signature held,
and asked about before it is checked, which costs a thousand times as much.
"""

from __future__ import annotations

from mesh.wire.envelope import Envelope
from mesh.wire.identity import NodeId

WINDOW = 1024
"""How far a datagram may come behind later ones of its sender, which counts those to everybody else too."""

_ALL = (1 << WINDOW) - 1


class Replays:
    """The windows of one member's view of the others; as many as there are members."""

    def __init__(self) -> None:
        self._windows: dict[NodeId, tuple[int, int]] = {}

    def is_new(self, envelope: Envelope) -> bool:
        """Whether it was not seen before, as far as the window reaches back."""
        window = self._windows.get(envelope.sender)
        if window is None:
            return True
        behind = window[0] - envelope.number
        return behind < 0 or (behind < WINDOW and not window[1] >> behind & 1)

    def note(self, envelope: Envelope) -> None:
        """It was proven to be its sender's."""
        highest, seen = self._windows.get(envelope.sender, (envelope.number, 0))
        ahead = envelope.number - highest
        if ahead >= WINDOW:
            seen = 0
        if ahead > 0:
            self._windows[envelope.sender] = (envelope.number, (seen << ahead & _ALL if seen else 0) | 1)
        else:
            self._windows[envelope.sender] = (highest, seen | 1 << -ahead)

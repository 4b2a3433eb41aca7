"""Which datagrams of each member came already: a sliding window over their numbers (as in RFC 4303, 3.4.3).

Numbers rise over restarts, for the generation is their upper part; they are noted once the signature held,
and asked about before it is checked, which costs a thousand times as much.
"""

from __future__ import annotations

from mesh.wire.envelope import Envelope, run_of
from mesh.wire.identity import NodeId

WINDOW = 1024
"""How far a datagram may come behind later ones of its sender, which counts those to everybody else too."""

OTHERS = 4
"""So many runs of a sender have windows besides the one that it is known to be in."""

_ALL = (1 << WINDOW) - 1
_Window = tuple[int, int]
"""The highest number, and which of those up to it came, as bits."""


class Replays:
    """The windows of one member's view of the others: one for each member, as a rule.

    A datagram of a later run than its sender is known to be in may be of its next one, or of one that its
    disk and everybody else forgot, kept by who sends it again. Such a run has a window of its own, so that
    the sender is heard all the same: the earliest few, for runs come in turn.
    """

    def __init__(self) -> None:
        self._windows: dict[NodeId, _Window] = {}
        """Those of the latest run that its sender was known to be in: of an earlier one nothing is new."""
        self._others: dict[NodeId, dict[int, _Window]] = {}
        """Those of later runs, by their generations."""

    def is_new(self, envelope: Envelope) -> bool:
        """Whether it was not seen before, as far as the window of its run reaches back."""
        window, run = self._windows.get(envelope.sender), run_of(envelope.number)
        if window is None or run_of(window[0]) != run:
            if window is not None and run < run_of(window[0]):
                return False
            others = self._others.get(envelope.sender, {})
            window = others.get(run)
            if window is None:
                return len(others) < OTHERS or run < max(others)
        behind = window[0] - envelope.number
        return behind < 0 or (behind < WINDOW and not window[1] >> behind & 1)

    def mark(self, envelope: Envelope, generation: int) -> None:
        """It was proven to be its sender's, whose generation is known to be that: earlier runs are over."""
        sender, number, run = envelope.sender, envelope.number, run_of(envelope.number)
        window = self._windows.get(sender)
        if window is not None and run_of(window[0]) == run:
            self._windows[sender] = _moved(window, number)
            return
        others = self._others.pop(sender, {})
        others[run] = _moved(others.get(run), number)
        if run <= generation:
            self._windows[sender] = others[run]
            others = {later: other for later, other in others.items() if later > run}
        if others:
            self._others[sender] = dict(sorted(others.items())[:OTHERS])


def _moved(window: _Window | None, number: int) -> _Window:
    """The window once that number came."""
    highest, seen = window or (number, 0)
    ahead = number - highest
    if ahead >= WINDOW:
        seen = 0
    if ahead > 0:
        return (number, (seen << ahead & _ALL if seen else 0) | 1)
    return (highest, seen | 1 << -ahead)

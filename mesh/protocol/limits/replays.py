"""Which datagrams of each member came already: a sliding window over their numbers (as in RFC 4303, 3.4.3).

Numbers rise over restarts, for the generation is their upper part. The node asks whether a number is new
before it checks the signature, which costs a thousand times as much, and marks it once the signature is
valid.
"""

from __future__ import annotations

from mesh.wire.envelope import Envelope, run_of
from mesh.wire.identity import NodeId

WINDOW = 1024
"""How far a datagram may lag behind later ones of its sender; a sender's numbers count those to all nodes."""

OTHERS = 4
"""So many later runs of a sender have windows besides its known run."""

_ALL = (1 << WINDOW) - 1
_Window = tuple[int, int]
"""The highest number, and which of those up to it came, as bits."""


class Replays:
    """The replay windows of one node: one for each member, as a rule.

    A datagram may be of a later run than its sender's known one. It comes from the sender's next run, or it
    is a replay from a run that the sender's disk and all members forgot. Such a run gets a window of its own,
    so that a replay cannot silence the sender. The earliest few runs have one, for runs come in turn.
    """

    def __init__(self) -> None:
        self._windows: dict[NodeId, _Window] = {}
        """The window of each sender's latest known run: no datagram of an earlier run is new."""
        self._others: dict[NodeId, dict[int, _Window]] = {}
        """The windows of later runs, by their generations."""

    def is_new(self, envelope: Envelope, generation: int) -> bool:
        """Whether the datagram is new, as far as the window of its run reaches back.

        ``generation`` is the highest that its sender's facts prove. All earlier runs are over, and that one
        is heard, however many others have windows. (If they took its own, what came before counts once more.)
        """
        window, run = self._windows.get(envelope.sender), run_of(envelope.number)
        if run < generation:
            return False
        if window is None or run_of(window[0]) != run:
            if window is not None and run < run_of(window[0]):
                return False
            others = self._others.get(envelope.sender, {})
            window = others.get(run)
            if window is None:
                later = [other for other in others if other > generation]
                return run == generation or len(later) < OTHERS or run < max(later)
        behind = window[0] - envelope.number
        return behind < 0 or (behind < WINDOW and not window[1] >> behind & 1)

    def mark(self, envelope: Envelope, generation: int) -> None:
        """Note a proven datagram of a sender whose proven generation is that: its earlier runs are over."""
        sender, number, run = envelope.sender, envelope.number, run_of(envelope.number)
        window = self._windows.get(sender)
        if window is not None and run_of(window[0]) == run:
            self._windows[sender] = _moved(window, number)
            return
        others = self._others.pop(sender, {})
        others[run] = _moved(others.get(run), number)
        if generation in others:
            self._windows[sender] = others[generation]
        later = sorted((other, window) for other, window in others.items() if other > generation)
        if later:
            self._others[sender] = dict(later[:OTHERS])


def _moved(window: _Window | None, number: int) -> _Window:
    """The window after that number came."""
    highest, seen = window or (number, 0)
    ahead = number - highest
    if ahead >= WINDOW:
        seen = 0
    if ahead > 0:
        return (number, (seen << ahead & _ALL if seen else 0) | 1)
    return (highest, seen | 1 << -ahead)

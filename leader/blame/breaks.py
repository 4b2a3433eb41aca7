"""Whose fault it is that a tunnel broke: the worker's, or its network's, or the leader's. Pure.

A worker whose engine ended is as well as before: it answers this leader's next ping, on the direct way, and
membership had no doubt of it for a while. One that was cut off, crashed, slept or moved to another address
was doubted: it was late, or suspected, or another run of its process, or at another address. One that
computes for another leader now has not renewed its lease. Where several tunnels break at once, or this
process stood still, the reason is here. So it is where this leader reclaimed, for a rival had appeared:
a worker that still holds its lease for the claim before refuses the tunnels of this one, as it must. None of
these blames anybody.

So a break is judged a few seconds later, unless the worker itself says that its engine ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from leader.blame.shapes import Shape
from leader.placement.cost import DeviceKey

JUDGED_AFTER: Final = 4.0
"""Seconds: by then membership has noticed that a member is gone, or slow, and its lease was to be renewed."""
TOGETHER: Final = 2.0
"""Seconds within which tunnels to several workers break at once."""
DOUBTED: Final = 15.0
"""Seconds before a break: a doubt of the worker, or a pause of this process, may be what led to it."""
MAX_BREAKS: Final = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """A member as this leader holds it: alive, and its lease held. Times in seconds of the Node's clock."""

    alive: bool
    answered_at: float
    doubted_at: float


@dataclass(frozen=True, slots=True)
class Break:
    """A tunnel to a worker ended ``at``, and with it the load or run; its devices were these.

    ``load`` is the placement that was being loaded, None once it was ready. ``admitted``: the worker itself
    said that its engine ended, or has not the memory; ``cut``: what ended the tunnel was between the two, or
    is not known.
    """

    member: bytes
    devices: tuple[DeviceKey, ...]
    at: float
    reason: str
    load: Shape | None = None
    cut: bool = False
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the worker is to blame for a break."""

    tunnel: Break
    guilty: bool


class Breaks:
    """The breaks that are not judged yet."""

    def __init__(self) -> None:
        self._waiting: list[Break] = []
        self._others: list[tuple[float, bytes]] = []
        """When tunnels broke, and to whom, judged or not, as long as another may have been cut too."""

    def broke(self, tunnel: Break) -> None:
        """A tunnel broke; a second one to the same worker, before that is judged, is the same break."""
        self._others.append((tunnel.at, tunnel.member))
        del self._others[:-MAX_BREAKS]
        if all(one.member != tunnel.member for one in self._waiting):
            self._waiting.append(tunnel)
            del self._waiting[:-MAX_BREAKS]

    def admitted(self, member: bytes, reason: str) -> None:
        """The worker says that its engine ended, or has not the memory: it is judged at once."""
        self._waiting = [
            replace(one, reason=reason, admitted=True) if one.member == member else one
            for one in self._waiting
        ]

    @property
    def waiting(self) -> frozenset[bytes]:
        """The members that are not judged yet: no plan counts on them."""
        return frozenset(one.member for one in self._waiting)

    def drop(self) -> None:
        """This node does not lead any more: nothing that it saw blames anybody."""
        self._waiting.clear()

    def judge(
        self, now: float, standing: Mapping[bytes, Standing], unsettled_at: float
    ) -> Sequence[Judgement]:
        """The breaks that can be judged by now.

        ``unsettled_at``: when this process last went on after it stood still, or reclaimed the lead.
        """
        ripe = [one for one in self._waiting if one.admitted or now >= one.at + JUDGED_AFTER]
        self._waiting = [one for one in self._waiting if one not in ripe]
        return [
            Judgement(one, one.admitted or self._guilty(one, standing.get(one.member), unsettled_at))
            for one in ripe
        ]

    def _guilty(self, tunnel: Break, standing: Standing | None, unsettled_at: float) -> bool:
        if standing is None or not standing.alive:
            return False
        doubted = max(standing.doubted_at, unsettled_at) >= tunnel.at - DOUBTED
        at_once = any(
            member != tunnel.member and abs(at - tunnel.at) <= TOGETHER for at, member in self._others
        )
        return not (tunnel.cut or doubted or at_once) and standing.answered_at > tunnel.at

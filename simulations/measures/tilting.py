"""Importance sampling on lost datagrams: lose more of those that matter, and weigh what comes of it.

Datagrams are lost independently with probability p. Let some be lost with probability q instead. Then a run
in which a of these were lost and b delivered counts (p/q)^a ((1-p)/(1-q))^b times. The mean of the weights of
those runs that hit is the probability of a hit, exactly, however rare (Kahn and Marshall, "Methods of
reducing sample size in Monte Carlo computations", 1953; Bucklew, "Introduction to Rare Event Simulation").

Which datagrams matter is not known beforehand, so each run follows one of several tilts and is weighed by
their mixture: p(run) / sum of share x q(run) (the balance heuristic: Veach and Guibas, SIGGRAPH 1995). With p
itself among them no weight exceeds 1 / its share, which bounds the variance however badly the others fit
(Hesterberg, "Weighted average importance sampling and defensive mixture distributions", 1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from mesh.wire import messages
from mesh.wire.envelope import open_envelope
from mesh.wire.facts import Liveness, place_key
from mesh.wire.identity import NodeId
from mesh.wire.messages import PingRequest, Pull
from simulations.network import LinkFault, Network

ANYONE = -1
_NONE = (0, 0)


class Tilt(NamedTuple):
    """Lose more of what concerns the subject; nothing is tilted where no probability is given.

    ``at``: a host, or ANYONE, each alike; there ``loss`` is the probability for all between the subject and
    this host, what of the subject this host is sent, and where it asks others for that.
    ``far``: the probability for all between the subject and everyone else.
    """

    share: float
    at: int | None = None
    loss: float | None = None
    far: float | None = None


@dataclass(slots=True)
class Coins:
    """How many datagrams that concern a subject were lost and delivered, by the host at the other end.

    ``direct``: between the subject and that host. ``told``: between that host and others, of the subject.
    """

    subject: int
    direct: dict[int, tuple[int, int]] = field(default_factory=dict)
    told: dict[int, tuple[int, int]] = field(default_factory=dict)

    def toss(self, host: int, direct: bool, lost: bool) -> None:
        """One went this way."""
        counts = self.direct if direct else self.told
        before = counts.get(host, (0, 0))
        counts[host] = (before[0] + lost, before[1] + (not lost))

    def at(self) -> dict[int, tuple[int, int]]:
        """For each host what was lost and delivered of all that concerns it and the subject."""
        counts = dict(self.direct)
        for host, (lost, delivered) in self.told.items():
            before = counts.get(host, (0, 0))
            counts[host] = (before[0] + lost, before[1] + delivered)
        return counts

    def everywhere(self) -> tuple[int, int]:
        """What was lost and delivered between the subject and everyone."""
        counts = self.direct.values()
        return sum(lost for lost, _ in counts), sum(delivered for _, delivered in counts)


def weight(tilts: Sequence[Tilt], coins: Coins, loss: float, hosts: int) -> float:
    """p(run) / q(run), where q is the mixture of the tilts. Shares need not add up to one."""
    at, everywhere = coins.at(), coins.everywhere()
    terms: list[float] = []

    def ratio(tilted: float | None, lost: int, delivered: int) -> float:
        """log of q / p for so many coins."""
        if tilted is None:
            return 0.0
        return lost * math.log(tilted / loss) + delivered * math.log((1 - tilted) / (1 - loss))

    def add(share: float, tilt: Tilt, host: int | None) -> None:
        """log of share x q(run) / p(run), with the tilt at that host."""
        near = coins.direct.get(host, _NONE) if host is not None else _NONE
        far = ratio(tilt.far, everywhere[0] - near[0], everywhere[1] - near[1])
        here = ratio(tilt.loss, *at.get(host, _NONE)) if host is not None else 0.0
        terms.append(math.log(share) + here + far)

    for tilt in tilts:
        if tilt.at != ANYONE:
            add(tilt.share, tilt, tilt.at)
            continue
        for host in at:
            add(tilt.share / (hosts - 1), tilt, host)
        if len(at) < hosts - 1:
            add(tilt.share * (hosts - 1 - len(at)) / (hosts - 1), tilt, None)
    largest = max(terms)
    together = largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
    return math.exp(math.log(math.fsum(tilt.share for tilt in tilts)) - together)


class TiltedNetwork(Network):
    """A plain network with loss, in which datagrams that concern one subject are lost by a tilt.

    Until ``subject`` is set (by ``find``, asked at each datagram) all are lost with the usual probability.
    """

    def __init__(self, plain: Network) -> None:
        # A fault that does nothing: every datagram is asked for by ``passed``.
        super().__init__(plain.delay, plain.jitter, plain.loss, _faults=(LinkFault(),))
        self.coins = Coins(ANYONE)
        self.tilt = Tilt(1.0)
        self._id = self._key = b""

    def follow(self, subject: int, id: NodeId, tilt: Tilt) -> None:
        """From here on lose by this tilt (whose ``at`` is a host), and count."""
        self.coins, self.tilt = Coins(subject), tilt
        self._id, self._key = bytes(id), place_key(Liveness.kind, id)

    def find(self, source: int, target: int) -> None:
        """Called before each datagram is lost or not, while nobody is followed."""

    def passed(
        self, random: Random, now: float, source: int, target: int, payload: bytes, ahead: bool = False
    ) -> list[tuple[float, bytes]]:
        if self.coins.subject == ANYONE:
            self.find(source, target)
        subject, chance, host = self.coins.subject, self.loss, ANYONE
        direct = subject in (source, target)
        if subject != ANYONE:
            host = source + target - subject if direct else self._told(source, target, payload)
        if host != ANYONE:
            tilted = self.tilt.loss if host == self.tilt.at else self.tilt.far if direct else None
            chance = chance if tilted is None else tilted
        lost = random.random() < chance
        if host != ANYONE:
            self.coins.toss(host, direct, lost)
        return [] if lost else [(now + self.latency(random), payload)]

    def _told(self, source: int, target: int, payload: bytes) -> int:
        """The host to which a datagram between others, if it speaks of the subject, matters; else ANYONE."""
        if self._id not in payload and self._key not in payload:
            return ANYONE
        message = messages.decode(open_envelope(payload).body, messages.MAX_DATAGRAM)
        if isinstance(message, Pull | PingRequest):
            return source
        return target if self._id in payload else ANYONE

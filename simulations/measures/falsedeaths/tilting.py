"""Importance sampling on lost datagrams: lose more of those that matter, and weigh the outcome.

Datagrams are lost independently with probability p. Let some be lost with probability q instead. Then a run
in which a of these were lost and b delivered counts (p/q)^a ((1-p)/(1-q))^b times. The mean of the weights of
those runs that hit is the probability of a hit, exactly, however rare (Kahn and Marshall, "Methods of
reducing sample size in Monte Carlo computations", 1953; Bucklew, "Introduction to Rare Event Simulation").

Which datagrams matter is not known beforehand. So each run follows one of several tilts, and their mixture
weighs it: p(run) / sum of share x q(run) (the balance heuristic: Veach and Guibas, SIGGRAPH 1995). With p
itself among them no weight exceeds 1 / its share, which bounds the variance however badly the others fit
(Hesterberg, "Weighted average importance sampling and defensive mixture distributions", 1995).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from mesh.wire import messages
from mesh.wire.envelope import open_envelope
from mesh.wire.facts import Liveness
from mesh.wire.identity import NodeId
from mesh.wire.messages import PingRequest, Pull
from mesh.wire.signed_facts import place_key
from simulations.network import LinkFault, Network

ANYONE = -1
TO, FROM, TOLD, ASKS = range(4)
"""What concerns a host and the subject: sent to the subject, sent by it, news of it, and asking for news."""
HELP_TO, HELP_FROM = 4, 5
"""The first two of a host that the prober asked for help."""
Counts = dict[tuple[int, int], tuple[int, int]]
"""The lost and the delivered datagrams, by (which of these, host)."""


class Tilt(NamedTuple):
    """Lose more of what concerns the subject; nothing is tilted where no probability is given.

    ``at``: a host, or ANYONE, each alike; ``near``: the four probabilities there. ``help``: two for those
    that the prober asked. ``far``: one for all else between the subject and others.

    A question fails most likely when what comes last on its way is lost most often. Of pings and answers that
    fail at a loss of p each, the ping was lost with 1 / (2 - p), the answer of the others always. Near that
    the weights are nearly equal, and the variance is least.
    """

    share: float
    at: int | None = None
    near: tuple[float, float, float, float] | None = None
    help: tuple[float, float] | None = None
    far: float | None = None

    def loss(self, kind: int, host: int) -> float | None:
        """The probability with which such a datagram is lost; None: the usual one."""
        if host == self.at:
            return self.near[kind if kind < HELP_TO else kind - HELP_TO] if self.near else None
        if kind >= HELP_TO and self.help:
            return self.help[kind - HELP_TO]
        return None if kind in (TOLD, ASKS) else self.far


@dataclass(slots=True)
class Coins:
    """How many datagrams that concern a subject were lost and delivered."""

    subject: int
    counts: Counts = field(default_factory=dict)

    def toss(self, kind: int, host: int, lost: bool) -> None:
        """Count one datagram."""
        before = self.counts.get((kind, host), (0, 0))
        self.counts[kind, host] = (before[0] + lost, before[1] + (not lost))


def weight(tilts: Sequence[Tilt], coins: Coins, loss: float, hosts: int) -> float:
    """p(run) / q(run), where q is the mixture of the tilts, by their shares."""
    terms: list[float] = []
    concerned = {host for _, host in coins.counts}
    for tilt in tilts:
        if tilt.at != ANYONE:
            terms.append(math.log(tilt.share) + _likelihood(tilt, coins.counts.items(), loss))
            continue
        # Elsewhere is the same for all; only what is at the host itself differs.
        base = {key: _toss(tilt, *key, counts, loss) for key, counts in coins.counts.items()}
        anywhere = math.fsum(base.values())
        for host in concerned:
            here = [(key, counts) for key, counts in coins.counts.items() if key[1] == host]
            there = _likelihood(tilt._replace(at=host), here, loss)
            instead = math.fsum(base[key] for key, _ in here)
            terms.append(math.log(tilt.share / (hosts - 1)) + anywhere - instead + there)
        untouched = hosts - 1 - len(concerned)
        if untouched:
            terms.append(math.log(tilt.share * untouched / (hosts - 1)) + anywhere)
    largest = max(terms)
    together = largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
    return math.exp(math.log(math.fsum(tilt.share for tilt in tilts)) - together)


def _likelihood(tilt: Tilt, counts: Iterable[tuple[tuple[int, int], tuple[int, int]]], loss: float) -> float:
    """log of q(run) / p(run) of one tilt."""
    return math.fsum(_toss(tilt, kind, host, told, loss) for (kind, host), told in counts)


def _toss(tilt: Tilt, kind: int, host: int, counts: tuple[int, int], loss: float) -> float:
    tilted = tilt.loss(kind, host)
    if tilted is None:
        return 0.0
    lost, delivered = counts
    return lost * math.log(tilted / loss) + delivered * math.log((1 - tilted) / (1 - loss))


class TiltedNetwork(Network):
    """A plain network with loss, in which a tilt loses datagrams that concern one subject.

    Until it follows one, all are lost with the usual probability, and ``find`` is called before each.
    """

    def __init__(self, plain: Network) -> None:
        # A fault that does nothing: every datagram then goes through ``passed``.
        super().__init__(plain.delay, plain.jitter, plain.loss, _faults=(LinkFault(),))
        self.coins = Coins(ANYONE)
        self.tilt = Tilt(1.0)
        self._id = self._key = b""
        self._prober = ANYONE
        self.find: Callable[[int, int], None] | None = None
        self._helpers: set[int] = set()

    def follow(self, subject: int, id: NodeId, prober: int, tilt: Tilt) -> None:
        """From here on lose by this tilt (whose ``at`` is a host), and count."""
        if subject != self.coins.subject:
            self._helpers.clear()
        self.coins, self.tilt, self._prober = Coins(subject), tilt, prober
        self._id, self._key = bytes(id), place_key(Liveness.kind, id)

    def passed(
        self, random: Random, now: float, source: int, target: int, payload: bytes, ahead: bool = False
    ) -> list[tuple[float, bytes]]:
        if self.coins.subject == ANYONE and self.find is not None:
            self.find(source, target)
        concerned = self._concerned(source, target, payload)
        tilted = self.tilt.loss(*concerned) if concerned else None
        lost = random.random() < (self.loss if tilted is None else tilted)
        if concerned:
            self.coins.toss(*concerned, lost)
        return [] if lost else [(now + self.latency(random), payload)]

    def _concerned(self, source: int, target: int, payload: bytes) -> tuple[int, int] | None:
        """The datagram's kind and host; None when it does not concern the subject, or none is followed."""
        subject = self.coins.subject
        if subject == ANYONE:
            return None
        if subject in (source, target):
            host = source + target - subject
            return (TO if source == host else FROM) + (HELP_TO if host in self._helpers else 0), host
        if self._id not in payload and self._key not in payload:
            return None
        message = messages.decode(open_envelope(payload).body, messages.MAX_DATAGRAM)
        if isinstance(message, PingRequest) and source == self._prober:
            self._helpers.add(target)
        if isinstance(message, Pull | PingRequest):
            return ASKS, source
        return (TOLD, target) if self._id in payload else None

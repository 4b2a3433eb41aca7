"""What a network does to datagrams: delay, loss, copies, reordering, damage, cuts, limits of size.

Most measurements need only the plain network (delay, jitter, loss, two sides of a partition), which is kept
fast. Whatever is nastier is a :class:`LinkFault` on some directed links; several faults add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

HEADER = 28
"""Bytes of the IPv4 and UDP headers, which count against an MTU."""
_RUNT_LOSS = 0.02
_SEGMENT = bytes(40)


@dataclass(frozen=True, slots=True)
class LinkFault:
    """What goes wrong from ``sources`` to ``targets`` (host numbers; None: all) while it lasts.

    Probabilities are for each datagram, times in seconds, sizes in bytes; 0 is off.
    """

    sources: frozenset[int] | None = None
    targets: frozenset[int] | None = None
    cut: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    """One to eight bits are flipped."""
    truncate: float = 0.0
    """The end is missing."""
    delay: float = 0.0
    tail: float = 0.0
    """Scale of an additional delay with a Pareto tail (shape 1.2): most are short, a few are very long."""
    mtu: int = 0
    """Larger packets vanish silently."""
    rate: float = 0.0
    """Bytes a second that the weights on this link leave; datagrams queue behind them."""
    queue: float = 0.0
    """Seconds of the longest queue; a datagram that finds it full is dropped."""
    holds_until: float = 0.0
    """A clogged link passes nothing before that time, then all at once."""

    def concerns(self, source: int, target: int) -> bool:
        return (self.sources is None or source in self.sources) and (
            self.targets is None or target in self.targets
        )


_CLEAR = LinkFault()


@dataclass(slots=True)
class Network:
    """Delays in seconds, loss as a probability for each datagram."""

    delay: float = 0.0005
    jitter: float = 0.0005
    loss: float = 0.0
    sides: dict[int, int] = field(default_factory=dict)
    """The side of a partition on which each host is; hosts that are not named are on side 0."""
    faulty: bool = False
    """Whether any faults are in force."""
    _faults: tuple[LinkFault, ...] = ()
    _paths: dict[tuple[int, int], LinkFault] = field(default_factory=dict)
    _busy: dict[int, float] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[LinkFault, ...]:
        """All faults in force; set to change them."""
        return self._faults

    @faults.setter
    def faults(self, faults: tuple[LinkFault, ...]) -> None:
        self._faults = tuple(faults)
        self.faulty = bool(self._faults)
        self._paths.clear()

    def connects(self, source: int, target: int) -> bool:
        """Whether anything can pass from one host to another."""
        if self.sides and self.sides.get(source, 0) != self.sides.get(target, 0):
            return False
        return not (self.faulty and self.path(source, target).cut)

    def path(self, source: int, target: int) -> LinkFault:
        """All faults from one host to another, added up."""
        path = self._paths.get((source, target))
        if path is None:
            path = _CLEAR
            for fault in self._faults:
                if fault.concerns(source, target):
                    path = _both(path, fault)
            self._paths[source, target] = path
        return path

    def latency(self, random: Random) -> float:
        """Seconds for one small packet on a link without faults."""
        return self.delay + self.jitter * random.random()

    def passed(
        self, random: Random, now: float, source: int, target: int, payload: bytes, ahead: bool = False
    ) -> list[tuple[float, bytes]]:
        """What arrives of a datagram sent now, and when.

        ``ahead``: it is still to be sent, at ``now``, and must not delay what is sent before it.
        """
        sides = self.sides
        if sides and sides.get(source, 0) != sides.get(target, 0):
            return []
        path = self.path(source, target) if self.faulty else _CLEAR
        if path.cut or random.random() < self.loss:
            return []
        if path is _CLEAR:
            return [(now + self.delay + self.jitter * random.random(), payload)]
        if path.duplicate and random.random() < path.duplicate:
            arrivals = [self._arrival(random, now, source, path, payload, ahead) for _ in range(2)]
            return [arrival for arrival in arrivals if arrival is not None]
        arrival = self._arrival(random, now, source, path, payload, ahead)
        return [] if arrival is None else [arrival]

    def exchanged(self, random: Random, now: float, source: int, target: int, segments: int) -> float | None:
        """When so many segments have gone to and fro, one after another; None when one of them is lost.

        A lost one counts as lost for good: TCP sends it again after 0.2 s to 1 s (RFC 6298), too late for
        a probe.
        """
        when = now
        for _ in range(segments):
            passed = self.passed(random, when, source, target, _SEGMENT, ahead=when > now)
            if not passed:
                return None
            when, source, target = passed[0][0], target, source
        return when

    def _arrival(
        self, random: Random, now: float, source: int, path: LinkFault, payload: bytes, ahead: bool
    ) -> tuple[float, bytes] | None:
        size = len(payload) + HEADER
        if (path.mtu and size > path.mtu) or (path.loss and random.random() < path.loss):
            return None
        when = max(now, path.holds_until) + path.delay + self.latency(random)
        if path.rate:
            queued = self._queue(random, now, source, path, size, ahead)
            if queued is None:
                return None
            when += queued
        if path.tail:
            when += path.tail * (random.paretovariate(1.2) - 1.0)
        if path.corrupt and random.random() < path.corrupt:
            payload = flipped(payload, random)
        if path.truncate and random.random() < path.truncate:
            payload = payload[: random.randrange(len(payload) + 1)]
        return when, payload

    def _queue(
        self, random: Random, now: float, source: int, path: LinkFault, size: int, ahead: bool
    ) -> float | None:
        """Seconds behind the weights, which keep the queue between half full and full; None: dropped."""
        busy = max(now, self._busy.get(source, now)) + size / path.rate
        waits = busy - now + path.queue * (0.5 + 0.5 * random.random())
        if waits > path.queue + size / path.rate or random.random() < _RUNT_LOSS:
            return None
        if not ahead:
            self._busy[source] = busy
        return waits


def flipped(payload: bytes, random: Random) -> bytes:
    """The payload with one to eight of its bits flipped."""
    damaged = bytearray(payload)
    for _ in range(random.randrange(1, 9) if payload else 0):
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def _either(a: float, b: float) -> float:
    return 1.0 - (1.0 - a) * (1.0 - b)


def _both(a: LinkFault, b: LinkFault) -> LinkFault:
    return LinkFault(
        cut=a.cut or b.cut,
        loss=_either(a.loss, b.loss),
        duplicate=_either(a.duplicate, b.duplicate),
        corrupt=_either(a.corrupt, b.corrupt),
        truncate=_either(a.truncate, b.truncate),
        delay=a.delay + b.delay,
        tail=max(a.tail, b.tail),
        mtu=min(a.mtu, b.mtu) if a.mtu and b.mtu else max(a.mtu, b.mtu),
        rate=min(a.rate, b.rate) if a.rate and b.rate else max(a.rate, b.rate),
        queue=max(a.queue, b.queue),
        holds_until=max(a.holds_until, b.holds_until),
    )

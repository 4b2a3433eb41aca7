"""How far a load is: bytes of bytes, seconds left, and the machine that holds it up. Pure.

llama-server fills one rpc-server after another, in the order of ``--rpc``, which is the plan's (measured
with the pinned engine, whatever ``--device`` says). Before that it maps the file, which reads it where the
page cache does not have it. What it wrote to one worker may still be on its way, some MiB, while it fills the
next. So a share is done when a later one has begun and nothing moves to it any more, whatever it took: what
an rpc-server has in its cache is not sent. What is left goes at the present rate.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leader.placement.planner import Plan
from mesh.wire.amounts import left_text, rate_text, size_text

MOST: Final = 0.99
"""The share of a load that is still under way: its end is llama-server's word alone."""
WINDOW: Final = 5.0  # seconds over which the present rate is taken
SHORTEST: Final = 1.0  # seconds from which a rate means something
SETTLED: Final = 1.0  # seconds without a byte after which a share that is not the present one is done
STALL: Final = 3.0  # seconds without a byte from which that is said
CONVERSATION: Final = 64 << 10  # bytes that llama-server exchanges with a worker beside its weights
SLOW: Final = 0.5  # of the next slowest machine's rate: from there on the slowest is named
_MOST_SAMPLES: Final = 128  # in a window


@dataclass(frozen=True, slots=True)
class LoadShare:
    """The bytes of weights that an rpc-server has to get."""

    name: str
    total: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How far a load is at one moment.

    ``done`` of ``total`` bytes; ``rate`` in bytes a second; ``left`` in seconds, None while unknown.
    ``stalled`` is for how many seconds nothing moved, ``waits_for`` the machine that the next bytes go to,
    empty for this one. ``slowest`` is a machine and its rate, None where none stands out.
    """

    done: int
    total: int
    rate: float = 0.0
    left: float | None = None
    stalled: float = 0.0
    waits_for: str = ""
    slowest: tuple[str, float] | None = None

    @property
    def fraction(self) -> float:
        """The share of all bytes, 0 to `MOST`."""
        return min(MOST, self.done / self.total) if self.total else 0.0

    def text(self) -> str:
        """Such as ``612 MiB of 1.2 GiB, 14 s left; attic is slowest, 11 MB/s``."""
        if self.done >= self.total:
            return f"all {size_text(self.total)} are there, llama-server starts"
        text = f"{size_text(self.done)} of {size_text(self.total)}"
        if self.stalled >= STALL:
            text += f", no byte for {self.stalled:.0f} s" + (self.waits_for and f" to {self.waits_for}")
        elif self.left is not None:
            text += f", {left_text(self.left)}"
        if self.slowest is not None:
            name, rate = self.slowest
            text += f"; {name} is slowest, {rate_text(rate)}"
        return text


@dataclass(slots=True)
class _Filling:
    """When a worker's first and last bytes were seen, in seconds, and how many it had got by then."""

    first: float
    before: int
    last: float
    count: int

    @property
    def seconds(self) -> float:
        return self.last - self.first

    @property
    def rate(self) -> float:
        return (self.count - self.before) / self.seconds if self.seconds else 0.0


class LoadProgress:
    """Takes samples of one load.

    ``own`` is the bytes that llama-server keeps itself; ``shares`` are the rpc-servers' in the order in which
    it fills them.
    """

    def __init__(self, own: int, shares: Sequence[LoadShare]) -> None:
        self._own = max(0, own)
        self._shares = tuple(shares)
        self._total = self._own + sum(share.total for share in self._shares)
        self._present = -1  # the share that is filled; -1: the file is read
        self._since = 0.0  # when that began
        self._fillings: dict[int, _Filling] = {}  # by share
        self._samples: deque[tuple[float, int]] = deque(maxlen=_MOST_SAMPLES)
        self._done = 0
        self._moved = 0.0

    @classmethod
    def of(cls, plan: Plan) -> "LoadProgress":
        """The load of a plan."""
        info = plan.model_info
        weights = {
            stage.device.key: sum(info.layer_bytes[stage.first : stage.first + stage.layers])
            + (info.head_bytes if stage.head else 0)
            for stage in plan.stages
        }
        names = {stage.device.key: stage.device.name for stage in plan.stages}
        shares = [
            LoadShare(
                ", ".join(dict.fromkeys(names[key] for key in server.keys)),
                sum(weights[key] for key in server.keys),
            )
            for server in plan.servers
        ]
        return cls(info.total_bytes - sum(share.total for share in shares), shares)

    def see(self, now: float, read: float, sent: Sequence[int]) -> LoadReport:
        """Note a sample, and say how far the load is.

        ``read`` is the share of the file that llama-server has read, 0 to 1; ``sent`` has the bytes sent to
        each rpc-server so far.
        """
        self._note_shares(now, sent)
        done = min(self._total, max(self._done, self._count(now, read, sent)))
        if done > self._done or not self._samples:
            self._moved = now
        self._done = done
        self._samples.append((now, self._flow(read, sent)))
        while self._samples[0][0] < now - WINDOW:
            self._samples.popleft()
        rate = self._rate(now)
        return LoadReport(
            done,
            self._total,
            rate,
            (self._total - done) / rate if rate else None,
            max(0.0, now - self._moved) if self._samples[-1][1] else 0.0,
            self._shares[self._present].name if self._present >= 0 else "",
            self._slowest(),
        )

    def _note_shares(self, now: float, sent: Sequence[int]) -> None:
        """Note which share is filled now, and what each got in which time."""
        for number, count in enumerate(sent):
            if count <= min(CONVERSATION, self._shares[number].total // 2):
                continue
            filling = self._fillings.setdefault(number, _Filling(now, count, now, count))
            if count > filling.count:
                filling.last, filling.count = now, count
            if number > self._present:
                self._present, self._since = number, now

    def _count(self, now: float, read: float, sent: Sequence[int]) -> int:
        """The bytes that are where they belong."""
        if self._present < 0:
            return int(self._own * min(1.0, max(0.0, read)))
        done = self._own
        for number, share in enumerate(self._shares[: self._present + 1]):
            filling = self._fillings.get(number)
            moves = filling is not None and now - filling.last < SETTLED
            passed = number < self._present and not moves
            done += share.total if passed else min(share.total, sent[number])
        return done

    def _flow(self, read: float, sent: Sequence[int]) -> int:
        """The bytes that moved, without those that were there before."""
        own = int(self._own * min(1.0, max(0.0, read)))
        return own + sum(min(share.total, count) for share, count in zip(self._shares, sent, strict=True))

    def _rate(self, now: float) -> float:
        """Bytes a second lately, of the present share alone once it is old enough; 0: unknown."""
        young = now - self._since < SHORTEST
        samples = [one for one in self._samples if young or one[0] >= self._since]
        seconds = samples[-1][0] - samples[0][0] if samples else 0.0
        return (samples[-1][1] - samples[0][1]) / seconds if seconds >= SHORTEST else 0.0

    def _slowest(self) -> tuple[str, float] | None:
        measured = [(one.rate, number) for number, one in self._fillings.items() if one.seconds >= SHORTEST]
        rates = sorted(measured)
        if len(rates) < 2 or rates[0][0] > SLOW * rates[1][0]:
            return None
        return self._shares[rates[0][1]].name, rates[0][0]

"""What a fuzzer needs to know of one decoder, and the price that any input may have."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decode = Callable[[bytes], None]
"""Takes any bytes. Returns, or raises what no input may bring about."""

MILLISECONDS = 250.0
MIB = 24


@dataclass(frozen=True, slots=True)
class Harness:
    """One decoder: ``make`` prepares it once, ``corpus`` gives real encodings to begin with.

    ``milliseconds`` of processor time and ``mib`` of memory are what one input of ``max_len`` bytes may cost,
    under the fuzzer's instruments, which slow Python down about tenfold.
    """

    name: str
    decodes: str
    make: Callable[[], Decode]
    corpus: Callable[[], Sequence[bytes]]
    max_len: int = 4096
    milliseconds: float = MILLISECONDS
    mib: int = MIB


class TooDear(Exception):
    """An input cost more time or memory than any may."""


def thread_seconds() -> float:
    """Processor time of this thread; other processes' load does not count."""
    return time.thread_time()


def peak_mib() -> float:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


class Bounded:
    """A harness' decoder that raises :class:`TooDear` for an input that costs too much."""

    def __init__(
        self,
        harness: Harness,
        seconds: Callable[[], float] = thread_seconds,
        peak: Callable[[], float] = peak_mib,
    ) -> None:
        self._harness = harness
        self._decode = harness.make()
        self._seconds = seconds
        self._peak = peak
        # What is imported or made at first use is not the first input's.
        for data in (b"", *harness.corpus()):
            self._decode(data)

    def __call__(self, data: bytes) -> None:
        peak = self._peak()
        milliseconds = self._cost(data)
        if milliseconds > self._harness.milliseconds:
            # A collection of garbage may fall into any input's time, but hardly into both.
            milliseconds = min(milliseconds, self._cost(data))
        if milliseconds > self._harness.milliseconds:
            raise TooDear(f"{len(data)} bytes took {milliseconds:.0f} ms")
        grown = self._peak() - peak
        if grown > self._harness.mib:
            raise TooDear(f"{len(data)} bytes took {grown:.0f} MiB")

    def _cost(self, data: bytes) -> float:
        start = self._seconds()
        self._decode(data)
        return (self._seconds() - start) * 1000.0

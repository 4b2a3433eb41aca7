"""What this node refused, for ``/metrics`` and, now and then, for the log.

Whatever refuses only counts. Here the numbers are looked at every ten seconds: one line for each kind of
thing that was refused since, however often, so that nobody can fill the log.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0

Numbers = Mapping[str, int]
Source = Callable[[], tuple[Numbers, Mapping[str, object]]]
"""How often something was refused by reason, and whose it was last; both only grow."""


class Watch:
    """``sources``: by what they refuse, such as ``datagram``."""

    def __init__(self, sources: Mapping[str, Source], gate: Callable[[], Numbers]) -> None:
        self._sources = sources
        self._gate = gate
        self._told: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Tell the log, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Tell what was refused since the last look."""
        for what, source in self._sources.items():
            numbers, latest = source()
            news = []
            for why, count in sorted(numbers.items()):
                more = count - self._told.get((what, why), 0)
                self._told[what, why] = count
                if more:
                    whom = latest.get(why)
                    news.append(f"{why} {more}" + (f" (the last of {whom})" if whom is not None else ""))
            if news:
                log.warning("refused %s: %s", what, ", ".join(news))

    def collect(self) -> "Iterable[Metric]":
        """The same as Prometheus' counters."""
        from prometheus_client.core import CounterMetricFamily

        refused = CounterMetricFamily("mesh_refused", "What was refused, and why.", labels=["what", "why"])
        for what, source in self._sources.items():
            for why, count in sorted(source()[0].items()):
                refused.add_metric([what, why], count)
        yield refused
        gate = CounterMetricFamily("mesh_gate", "Streams and bytes at the worker's gate.", labels=["event"])
        for event, count in self._gate().items():
            gate.add_metric([event], count)
        yield gate

"""What this node refused, for ``/metrics`` and, at intervals, for the log.

The parts that refuse only count. Every ten seconds the numbers are compared: one line for each kind of
refusal since, however often it came, so that no sender can fill the log.
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
"""Counts of refusals by reason, and the latest source of each; counts only grow."""


class DropReporter:
    """Reports the drop counters. ``sources``: by what they refuse, such as ``datagram``."""

    def __init__(self, sources: Mapping[str, Source], gate: Callable[[], Numbers]) -> None:
        self._sources = sources
        self._gate = gate
        self._logged: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Log refusals, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Log what was refused since the last look."""
        for what, source in self._sources.items():
            numbers, latest = source()
            news = []
            for why, count in sorted(numbers.items()):
                more = count - self._logged.get((what, why), 0)
                self._logged[what, why] = count
                if more:
                    whom = latest.get(why)
                    news.append(f"{why} {more}" + (f" (the last of {whom})" if whom is not None else ""))
            if news:
                log.warning("refused %s: %s", what, ", ".join(news))

    def collect(self) -> "Iterable[Metric]":
        """Yield the same numbers as Prometheus' counters."""
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

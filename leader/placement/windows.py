"""Which runs of layers a device can hold, and what each costs: for searches over unequal layers. Pure.

A *window* is layers ``m`` to ``n - 1``. How wide one that ends at ``n`` may be depends on ``n``, for layers
differ. Its cost is that of any use of the device and the time of its layers, a difference of two prefix
sums. So the least of ``before[m] + cost`` over all windows that end at ``n`` is a minimum over a range of
``before[m] - time[m]``: two lookups in tables of minima over powers of two.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leader.model.model_info import ModelInfo
from leader.placement.cost import (
    Demand,
    Device,
    Range,
    entry_seconds,
    head_extra_seconds,
    layers_before,
)

Table = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Windows:
    """The windows of one device."""

    def __init__(self, model_info: ModelInfo, wants: Demand, device: Device, span: Range) -> None:
        size = wants.n_layers + 1
        self.needed = span.low > 0
        """Whether it must be used."""
        self.host = device.host
        self._entry = entry_seconds(wants, device)
        self._head = head_extra_seconds(model_info, wants, device)
        self._time: Table = np.array(layers_before(model_info)) * device.layer_seconds
        self._ends: Places = np.arange(size)
        # Only the pipeline's host is there without layers, with the head alone.
        self._last: Places = self._ends - max(span.low, 0 if device.host else 1)
        sums = np.array(wants.sums)
        self._first = [
            np.maximum(np.searchsorted(sums, sums - room), self._ends - span.high)
            if room >= 0 and span.high >= 0
            else self._last + 1
            for room in (span.room, span.room_head)
        ]

    @property
    def usable(self) -> bool:
        """Whether it can hold anything, the head included."""
        return any(bool(np.any(self._reach(head))) for head in (False, True))

    def taken(self, before: Table, head: bool = False) -> Table:
        """``result[n, ..]`` = the least of ``before[m, ..]`` and the cost of layers m to n - 1; inf: none."""
        result = np.full_like(before, np.inf)
        ends = np.flatnonzero(self._reach(head))
        first, last = self._first[head][ends], self._last[ends]
        powers = np.frexp(last - first + 1)[1] - 1  # of two, at most the window's width
        cost = self._cost(head)
        minima = before - _column(self._time, before)  # of 2 ** power entries from each on
        for power in range(int(powers.max(initial=-1)) + 1):
            if power:
                half = 1 << power - 1
                minima = np.minimum(minima[:-half], minima[half:])
            chosen = powers == power
            at, low, high = ends[chosen], first[chosen], last[chosen] - (1 << power) + 1
            result[at] = np.minimum(minima[low], minima[high]) + _column(cost[at], before)
        return result

    def end(self, before: Table) -> Table:
        """``result[..]`` = the least of ``before[m, ..]`` and the cost of all from m on, and the head."""
        first, last = int(self._first[True][-1]), int(self._last[-1])
        if last < max(first, 0):
            return np.full(before.shape[1:], np.inf)
        starts = slice(first, last + 1)
        least: Table = np.min(before[starts] - _column(self._time[starts], before), axis=0)
        return least + float(self._cost(True)[-1])

    def best(self, row: Table, end: int, head: bool) -> tuple[float, int]:
        """The least cost of ``row[m]`` and layers m to ``end - 1``, and that m; inf if there is no window."""
        first, last = int(self._first[head][end]), int(self._last[end])
        if last < max(first, 0):
            return np.inf, 0
        starts = slice(first, last + 1)
        costs = row[starts] - self._time[starts]
        least = int(np.argmin(costs))
        return float(costs[least] + self._cost(head)[end]), first + least

    def _cost(self, head: bool) -> Table:
        """What is to be added, for each end, to the least of ``before[m] - time[m]``."""
        return self._time + self._entry + (self._head if head else 0.0)

    def _reach(self, head: bool) -> npt.NDArray[np.bool_]:
        """For each end, whether there is a window."""
        return (self._last >= 0) & (self._first[head] <= self._last)


def _column(one: Table, like: Table) -> Table:
    """As many axes as ``like`` has, so that it is the same along all but the first."""
    return one.reshape(-1, *(1,) * (like.ndim - 1))


Share = tuple[int, int, bool]
"""A device's number, how many layers it holds, and whether the head."""

Found = tuple[float, Sequence[Share]]
"""Seconds a step, and the used devices' shares in pipeline order."""

"""The fastest placement of unequal layers over all subsets and orders of a few devices, exactly. Pure.

A table decides, subset by subset (as Held and Karp's for the travelling salesman, 1962)::

    f[layers placed][head on the host?][set of devices used] = least seconds a step

The last device of a set holds a window that ends at the layers placed, and the rest of the set what comes
before it. The pipeline's host comes first; the head is on the host or on the last device.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from leader.placement.cost import MAX_DEVICES
from leader.placement.windows import Found, Share, Table, Windows

MOST_CELLS: Final = 1 << 17
"""Of a table's half: with 128 layers, 9 devices beside the host."""


def most_devices(n_layers: int) -> int:
    """How many devices, beside the host, are few enough; at least 1."""
    return max(1, min(MAX_DEVICES, (MOST_CELLS // (n_layers + 1)).bit_length() - 1))


def best_of_all_orders(host: Windows | None, others: Sequence[Windows], n_layers: int) -> Found | None:
    """The shares of the fastest placement, the host being number 0 and the others counted from 1.

    None where nothing fits.
    """
    sets = np.arange(1 << len(others))
    start = host_rows(host, n_layers)
    table = np.full((n_layers + 1, len(start), sets.size), np.inf)
    table[..., 0] = start.T
    members = np.array([int(one).bit_count() for one in sets])
    for count in range(len(others)):
        for number, device in enumerate(others):
            before = sets[(members == count) & ((sets >> number) & 1 == 0)]
            after = before | 1 << number
            table[..., after] = np.minimum(table[..., after], device.taken(table[..., before]))
    needed = sum(1 << number for number, device in enumerate(others) if device.needed)
    best, at = _least(table[-1, -1], (sets & needed == needed) & (len(start) > 1))
    last: int | None = None
    for number, device in reversed(list(enumerate(others))):
        bit = 1 << number
        fits = (sets & bit == 0) & ((sets | bit) & needed == needed)
        least, subset = _least(device.end(table[:, 0]), fits)
        if least < best:
            best, at, last = least, subset, number
    return (best, _shares(host, others, table, at, last)) if best < np.inf else None


def host_rows(host: Windows | None, n_layers: int) -> Table:
    """The least seconds with so many layers on the host and no other device: without the head, and with it.

    The second row is left out where the host cannot have the head.
    """
    rows = np.full((2, n_layers + 1), np.inf)
    start = np.full(n_layers + 1, np.inf)
    start[0] = 0.0
    if host is None or not host.needed:
        rows[0, 0] = 0.0
    if host is not None:
        rows[0] = np.minimum(rows[0], host.taken(start))
        rows[1] = host.taken(start, head=True)
    return rows if np.isfinite(rows[1]).any() else rows[:1]


def _least(costs: Table, fits: npt.NDArray[np.bool_]) -> tuple[float, int]:
    at = int(np.argmin(np.where(fits, costs, np.inf)))
    return (float(costs[at]) if fits[at] else np.inf), at


def _shares(
    host: Windows | None, others: Sequence[Windows], table: Table, at: int, last: int | None
) -> list[Share]:
    """Read back from the end: which last device gave the table's value."""
    end, on_host = len(table) - 1, last is None
    found: list[Share] = []
    if last is not None:
        start = others[last].best(table[:, 0, at], end, head=True)[1]
        found.append((last + 1, end - start, True))
        end = start
    while at:
        choices = [
            (*others[number].best(table[:, int(on_host), at ^ 1 << number], end, head=False), number)
            for number in reversed(range(len(others)))
            if at >> number & 1
        ]
        _, start, number = min(choices, key=lambda choice: choice[0])
        found.append((number + 1, end - start, False))
        at, end = at ^ 1 << number, start
    if host is not None and (end or on_host):
        found.append((0, end, on_host))
    return found[::-1]

"""The fastest placement of unequal layers over one order of many devices. Pure.

A table decides, device by device::

    f[layers placed][head on the host?][devices used] = least seconds a step

Which devices of the order are used is free, up to what the engine takes. The head is on the pipeline's host
or on the last device used.
"""

from collections.abc import Sequence

import numpy as np

from leader.placement.cost import MAX_DEVICES
from leader.placement.subset_table import host_rows
from leader.placement.windows import Found, Share, Table, Windows


def best_in_order(host: Windows | None, others: Sequence[Windows], n_layers: int) -> Found | None:
    """The shares of the fastest placement, the host being number 0 and the others counted from 1.

    None where nothing fits.
    """
    start = host_rows(host, n_layers)
    table = np.full((n_layers + 1, len(start), MAX_DEVICES + 1), np.inf)
    table[..., 0] = start.T
    tables, best, at, last = [table], np.inf, 0, -1
    after_last = max((place for place, device in enumerate(others) if device.needed), default=0)
    for place, device in enumerate(others):
        before = tables[-1]
        if place >= after_last:
            ends = device.end(before[:, 0, :-1])
            if ends.min() < best:
                best, at, last = float(ends.min()), int(np.argmin(ends)), place
        after = np.full_like(before, np.inf) if device.needed else before.copy()
        np.minimum(after[..., 1:], device.taken(before[..., :-1]), out=after[..., 1:])
        tables.append(after)
    final = tables[-1][-1, -1]
    if len(start) > 1 and final.min() < best:
        best, at, last = float(final.min()), int(np.argmin(final)), -1
    return (best, _shares(host, others, tables, at, last)) if best < np.inf else None


def _shares(
    host: Windows | None,
    others: Sequence[Windows],
    tables: Sequence[Table],
    used: int,
    last: int,
) -> list[Share]:
    """Read back from the end: was the device used, and from which layer on."""
    end, on_host = len(tables[0]) - 1, last < 0
    found: list[Share] = []
    if not on_host:
        start = others[last].best(tables[last][:, 0, used], end, head=True)[1]
        found.append((last + 1, end - start, True))
        end = start
    for place in reversed(range(len(others) if on_host else last)):
        device, before = others[place], tables[place][:, int(on_host)]
        unused = np.inf if device.needed else before[end, used]
        cost, start = device.best(before[:, used - 1], end, head=False) if used else (np.inf, 0)
        if cost < unused:
            found.append((place + 1, end - start, False))
            used, end = used - 1, start
    if host is not None and (end or on_host):
        found.append((0, end, on_host))
    return found[::-1]

"""The table that decides a placement: an exact search over subset, counts and head together. Pure.

With layers of equal size only counts matter, and the cost is a sum over devices (leader.placement.cost). So a
table decides::

    f[head placed?][devices used][layers placed] = least seconds a step

filled device by device; every layer counts as the largest. A device with room for ``hi`` layers offers, for
each ``n``, the best of ``f[n - 1] .. f[n - hi]`` plus its fixed cost and ``l`` times its layer's time. That
is a sliding minimum, computed for all ``n`` at once by doubling. The counts are read back from the tables of
all steps.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leader.model.model_info import ModelInfo
from leader.placement.cost import MAX_DEVICES, Demand, Device, Range, entry_seconds, head_extra_seconds

Table = npt.NDArray[np.float64]


def best_counts(
    model_info: ModelInfo, wants: Demand, devices: Sequence[Device], ranges: Sequence[Range]
) -> list[tuple[int, bool]] | None:
    """(layers, head) of each device in the fastest placement; None when nothing fits.

    ``devices`` come in pipeline order, the pipeline's host first, with a range each.
    """
    tables = _fill(model_info, wants, devices, ranges)
    final = tables[-1][1, :, model_info.n_layers]
    used = int(np.argmin(final))
    if not np.isfinite(final[used]):
        return None
    return _read_back(model_info, wants, devices, ranges, tables, used)


def _fill(
    model_info: ModelInfo, wants: Demand, devices: Sequence[Device], ranges: Sequence[Range]
) -> list[Table]:
    """The tables before the first device and after each.

    Axes: head placed, devices used (0..15), layers placed.
    """
    table = np.full((2, MAX_DEVICES + 1, model_info.n_layers + 1), np.inf)
    table[0, 0, 0] = 0.0
    tables = [table]
    for device, span in zip(devices, ranges, strict=True):
        before = tables[-1]
        after = before.copy() if span.low == 0 else np.full_like(before, np.inf)
        entry, head = entry_seconds(wants, device), head_extra_seconds(model_info, wants, device)
        low = 0 if device.host else 1
        for placed, high in enumerate(_highs(wants, span)):
            # Without the head, either state stays; with it, only "not placed" becomes "placed".
            source = before if not placed else before[:1]
            taken = _window(source, max(low, span.low), high, device.layer_seconds) + (
                entry + (head if placed else 0.0)
            )
            target = after if not placed else after[1:]
            if device.host:
                np.minimum(target, taken, out=target)
            else:
                np.minimum(target[:, 1:], taken[:, :-1], out=target[:, 1:])
        tables.append(after)
    return tables


def _highs(wants: Demand, span: Range) -> tuple[int, int]:
    """The most layers without the head, and with it; -1: not possible."""
    layer = max((1, *wants.layers))
    plain, head = (-1 if room < 0 else min(span.high, room // layer) for room in (span.room, span.room_head))
    return plain, head


def _window(table: Table, low: int, high: int, slope: float) -> Table:
    """``result[.., n]`` = min of ``table[.., n - l] + l * slope`` over ``low <= l <= high``.

    Inf where there is none.
    """
    size = table.shape[-1]
    result = np.full_like(table, np.inf)
    if high < low or low >= size:
        return result
    at = np.arange(size) * slope
    best = table - at  # the least of a window of ``width`` entries that ends at n
    width, wanted = 1, min(high, size - 1) - low + 1
    while width < wanted:
        step = min(width, wanted - width)
        best[..., step:] = np.minimum(best[..., step:], best[..., :-step])
        width += step
    result[..., low:] = best[..., : size - low] + at[low:]
    return result


def _read_back(
    model_info: ModelInfo,
    wants: Demand,
    devices: Sequence[Device],
    ranges: Sequence[Range],
    tables: Sequence[Table],
    used: int,
) -> list[tuple[int, bool]]:
    """(layers, head) of each device, found backwards: each step asks which choice gave the table's value."""
    counts: list[tuple[int, bool]] = []
    placed, layers = 1, model_info.n_layers
    for index in range(len(devices) - 1, -1, -1):
        device, span, before = devices[index], ranges[index], tables[index]
        entry, extra = entry_seconds(wants, device), head_extra_seconds(model_info, wants, device)
        low, step = max(span.low, 0 if device.host else 1), 0 if device.host else 1
        best = before[placed, used, layers] if span.low == 0 else np.inf
        choice = (0, placed, False)
        for head, high in zip((False, True), _highs(wants, span), strict=True):
            source = placed - head
            top = min(high, layers)
            if source < 0 or top < low or used < step:
                continue
            takes = np.arange(low, top + 1)
            costs = before[source, used - step, layers - takes] + takes * device.layer_seconds
            costs = costs + entry + (extra if head else 0.0)
            least = int(np.argmin(costs))
            if costs[least] < best:
                best, choice = float(costs[least]), (int(takes[least]), source, head)
        taken, placed, head = choice
        layers -= taken
        used -= step if taken or head else 0
        counts.append((taken, head))
    return counts[::-1]

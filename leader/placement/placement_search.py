"""The fastest placement: which search finds it, and what it promises. Pure.

- **Equal layers**: exactly, for any number of devices (leader.placement.placement_table).
- **Unequal layers, few devices** (9 beside the host with 128 layers, 11 with 32): exactly, over all subsets
  and orders (leader.placement.subset_table).
- **Unequal layers, more devices**: the best over several orders, each exactly (leader.placement.order_table):
  by round trip, by memory up and down, and the order that counting each layer as the largest finds. Then
  the devices that these use, as far as they are few, are searched exactly. So it is never worse than with
  each layer counted as the largest. It may miss the best, and what fits in no order that was tried.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from leader.model.model_info import ModelInfo
from leader.placement.cost import Demand, Device, Range
from leader.placement.order_table import best_in_order
from leader.placement.placement_table import best_counts
from leader.placement.subset_table import best_of_all_orders, most_devices
from leader.placement.windows import Found, Share, Windows


def best_shares(
    model_info: ModelInfo, wants: Demand, devices: Sequence[Device], ranges: Sequence[Range]
) -> Sequence[Share] | None:
    """The shares of the fastest placement in pipeline order, by the devices' numbers; None: nothing fits.

    ``devices`` come by round trip, the pipeline's host first, with a range each.
    """
    if len(set(wants.layers)) == len(set(model_info.layer_bytes)) == 1:
        counts = best_counts(model_info, wants, devices, ranges)
        return None if counts is None else _in_order(devices, counts)
    found = _Unequal(model_info, wants, devices, ranges).best()
    return None if found is None else found[1]


def _in_order(devices: Sequence[Device], counts: Sequence[tuple[int, bool]]) -> list[Share]:
    """The used devices: the host first whatever it holds, and of the others, the head's device last."""
    shares = [(number, *count) for number, count in enumerate(counts) if any(count)]
    return sorted(shares, key=lambda share: (not devices[share[0]].host, share[2]))


class _Unequal:
    """The search over unequal layers. Numbers of devices are those of the caller."""

    def __init__(
        self, model_info: ModelInfo, wants: Demand, devices: Sequence[Device], ranges: Sequence[Range]
    ) -> None:
        self._model_info = model_info
        self._wants = wants
        self._devices = devices
        self._ranges = ranges
        windows = [Windows(model_info, wants, *pair) for pair in zip(devices, ranges, strict=True)]
        self._windows = windows
        self._host = next((number for number, one in enumerate(windows) if one.host), None)
        self._others = [
            number for number, one in enumerate(windows) if not one.host and (one.usable or one.needed)
        ]

    def best(self) -> Found | None:
        most = most_devices(self._wants.n_layers)
        if len(self._others) <= most:
            return self._exactly(self._others)
        tried = [found for order in self._orders() if (found := self._ordered(order)) is not None]
        if not tried:
            return None
        if few := self._most_used(tried, most):
            tried.append(self._exactly(few) or tried[0])
        return min(tried, key=lambda found: found[0])

    def _orders(self) -> Iterator[Sequence[int]]:
        yield self._others
        by_room = sorted(self._others, key=lambda number: self._ranges[number].room)
        yield by_room
        yield by_room[::-1]
        equal = self._as_equal()
        yield [*equal, *(number for number in self._others if number not in equal)]

    def _as_equal(self) -> list[int]:
        """The devices that would be used if each layer were the largest, in that order."""
        wants = self._wants.as_largest()
        counts = best_counts(self._model_info, wants, self._devices, self._ranges) or []
        return [number for number, *_ in _in_order(self._devices, counts) if number != self._host]

    def _most_used(self, tried: Sequence[Found], most: int) -> list[int]:
        """The devices of the best placement and others that were used; none where already they are many."""
        best = min(tried, key=lambda found: found[0])
        used = Counter(number for _, shares in tried for number, *_ in shares)
        needed = {number for number in self._others if self._windows[number].needed}
        needed |= {number for number, *_ in best[1]} - {self._host}
        others = sorted(set(used) - needed - {self._host}, key=lambda number: (-used[number], number))
        few = sorted([*needed, *others[: max(0, most - len(needed))]])
        return few if len(few) <= most else []

    def _exactly(self, numbers: Sequence[int]) -> Found | None:
        others = [self._windows[number] for number in numbers]
        return self._named(numbers, best_of_all_orders(self._leading, others, self._wants.n_layers))

    def _ordered(self, order: Sequence[int]) -> Found | None:
        others = [self._windows[number] for number in order]
        return self._named(order, best_in_order(self._leading, others, self._wants.n_layers))

    @property
    def _leading(self) -> Windows | None:
        return None if self._host is None else self._windows[self._host]

    def _named(self, numbers: Sequence[int], found: Found | None) -> Found | None:
        """With the caller's numbers in place of the host as 0 and the others from 1."""
        if found is None:
            return None
        names = [-1 if self._host is None else self._host, *numbers]
        return found[0], [(names[number], layers, head) for number, layers, head in found[1]]

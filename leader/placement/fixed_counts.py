"""Numbers of layers that a person fixes, from members to their devices. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from leader.placement.cost import Demand, Device, DeviceKey

MOST_TRIES: Final = 16


def spreads(
    wants: Demand, devices: Sequence[Device], fixed: Mapping[DeviceKey, int]
) -> Iterator[dict[DeviceKey, int]]:
    """Counts for devices, as ``fixed`` has them; the first that can be placed is meant.

    A member that is fixed as a whole and has several devices fills the fastest first, as they hold. Where
    layers differ, or one of the devices also holds the head, less may fit than each holds at most: then the
    slower ones take more. At most `MOST_TRIES`.
    """
    named = {device.key: fixed[device.key] for device in devices if device.key in fixed}
    wholes = [
        (_fastest_first([one for one in devices if one.member == member and one.key not in named]), count)
        for (member, device), count in fixed.items()
        if not device and (member, "") not in named
    ]
    yield from islice(_spread(wants, named, [whole for whole in wholes if whole[0]]), MOST_TRIES)


def _fastest_first(devices: Sequence[Device]) -> list[Device]:
    return sorted(devices, key=lambda device: (device.layer_seconds, device.device))


def _spread(
    wants: Demand, counts: dict[DeviceKey, int], wholes: Sequence[tuple[Sequence[Device], int]]
) -> Iterator[dict[DeviceKey, int]]:
    """Give the first member's devices their numbers in each way, and then the others'."""
    if not wholes:
        yield counts
        return
    (devices, count), *others = wholes
    if count > sum(wants.most(device) for device in devices):
        # It cannot be placed; whoever tries learns how much is missing.
        filled = [(count, *(0 for _ in devices[1:]))]
    else:
        filled = list(islice(_filled([wants.most(device) for device in devices], count), MOST_TRIES))
    for numbers in filled:
        own = {device.key: number for device, number in zip(devices, numbers, strict=True)}
        yield from _spread(wants, counts | own, others)


def _filled(most: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """Ways to sum up to ``count``, the first ones as full as they can be, then by powers of two less so."""
    if len(most) == 1:
        yield (count,)
        return
    full, rest = min(most[0], count), sum(most[1:])
    for less in (0, *(1 << power for power in range(full.bit_length()))):
        if count - (full - less) <= rest:
            yield from ((full - less, *others) for others in _filled(most[1:], count - full + less))

"""Sets of characters as sorted ranges of code points. Pure."""

from itertools import islice

Chars = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
NONE: Chars = ()
ANY: Chars = ((0, LAST),)
MOST_RANGES = 64
"""A set of more ranges counts as all characters: what is said of it errs on the safe side."""


def merged(ranges: list[tuple[int, int]]) -> Chars:
    """Any ranges as a set; those that begin after their end hold nothing."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if low > high:
            continue
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return tuple(joined) if len(joined) <= MOST_RANGES else ANY


def union(one: Chars, other: Chars) -> Chars:
    """What is in either."""
    if not one or one == other:
        return other
    if not other or one == ANY:
        return one
    return merged([*one, *other])


def overlap(one: Chars, other: Chars) -> bool:
    """Whether a character is in both."""
    at, by = 0, 0
    while at < len(one) and by < len(other):
        if one[at][1] < other[by][0]:
            at += 1
        elif other[by][1] < one[at][0]:
            by += 1
        else:
            return True
    return False


def common(one: Chars, other: Chars) -> set[int]:
    """Some of the characters in both: where each range that they share begins."""
    starts = (max(low, at) for low, high in one for at, end in other if low <= end and at <= high)
    return set(islice(starts, 8))


def without(ranges: list[tuple[int, int]]) -> Chars:
    """All characters but those."""
    rest, start = [], 0
    for low, high in merged(ranges):
        rest.append((start, low - 1))
        start = high + 1
    return merged([*rest, (start, LAST)])

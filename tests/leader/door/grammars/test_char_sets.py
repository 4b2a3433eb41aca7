from hypothesis import given
from hypothesis import strategies as st

from leader.door.grammars.char_sets import ANY, LAST, NONE, Chars, common, merged, overlap, union, without

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)


def members(chars: Chars) -> set[int]:
    return {code for low, high in chars for code in range(low, min(high, 50) + 1)}


def named(ranges: list[tuple[int, int]]) -> set[int]:
    return {code for low, high in ranges for code in range(low, high + 1)}


@given(RANGES, RANGES)
def test_sets_of_ranges_are_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    first, second = merged(one), merged(other)
    assert members(first) == named(one)
    assert members(union(first, second)) == named(one) | named(other)
    assert overlap(first, second) == bool(named(one) & named(other))
    assert members(without(one)) == set(range(51)) - named(one)


@given(RANGES, RANGES)
def test_what_is_common_is_in_both_and_found_if_there_is_any(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    shared = named(one) & named(other)
    found = common(merged(one), merged(other))
    assert found <= shared
    assert bool(found) == bool(shared)


def test_a_set_of_very_many_ranges_counts_as_all() -> None:
    assert merged([(2 * code, 2 * code) for code in range(65)]) == ANY
    assert without([(0, LAST)]) == NONE

"""What two conversations have in common."""

from hypothesis import given
from hypothesis import strategies as st

from leader.door.slots.slot_content import SlotContent, held_by_domain

BEGINNINGS = st.lists(st.integers(0, 1), max_size=4).map(tuple)


@given(BEGINNINGS, BEGINNINGS)
def test_the_common_beginning_is_the_longest_that_both_have(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    shared = SlotContent("anna", one).common(SlotContent("anna", other))
    assert one[:shared] == other[:shared]
    assert one[: shared + 1] != other[: shared + 1] or shared == min(len(one), len(other))


@given(BEGINNINGS, BEGINNINGS)
def test_different_domains_have_nothing_in_common(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    anna, bert = SlotContent("anna", one), SlotContent("bert", other)
    assert anna.common(bert) == 0
    assert not anna.goes_on_with(bert)


def test_a_conversation_goes_on_with_its_own_beginning() -> None:
    older = SlotContent("anna", (1, 2))
    assert SlotContent("anna", (1, 2, 3)).goes_on_with(older)
    assert older.goes_on_with(older)
    assert not older.goes_on_with(SlotContent("anna", (1, 2, 3)))
    assert not older.goes_on_with(SlotContent("anna"))


def test_more_than_half_is_most() -> None:
    content = SlotContent("anna", (1, 2, 3))
    assert content.is_mostly_in(SlotContent("anna", (1, 2, 9)))
    assert not content.is_mostly_in(SlotContent("anna", (1, 9)))
    assert not SlotContent("anna").is_mostly_in(content), "a short prompt is in none"


def test_contents_are_counted_by_domain() -> None:
    assert held_by_domain([SlotContent("a"), SlotContent("b"), SlotContent("a")]) == {"a": 2, "b": 1}

"""Files of parked slots: found by their own domain alone, bounded, and written over in a fair order."""

from leader.door.slots.parked_slots import ParkedSlots
from leader.door.slots.slot_content import SlotContent

ANNA = SlotContent("anna", (1, 2, 3), 300)


def parked(places: int, *contents: SlotContent) -> ParkedSlots:
    slots = ParkedSlots(places)
    for now, content in enumerate(contents):
        park(slots, now, content)
    return slots


def park(slots: ParkedSlots, now: float, content: SlotContent) -> int | None:
    place = slots.reserve(content)
    if place is not None:
        slots.saved(now, place, content)
    return place


def test_only_its_own_domain_finds_a_file() -> None:
    slots = parked(2, ANNA)
    assert slots.best(SlotContent("anna", (1, 2, 9))) == (0, ANNA)
    assert slots.best(SlotContent("anna", (9,))) is None
    assert slots.best(SlotContent("bert", (1, 2, 3))) is None


def test_the_file_with_the_most_in_common_is_found() -> None:
    short = SlotContent("anna", (1, 7), 100)
    slots = parked(3, short, ANNA, SlotContent("anna", (5,), 100))
    assert slots.best(SlotContent("anna", (1, 2, 3, 4))) == (1, ANNA)


def test_nothing_is_found_at_a_place_that_is_being_written() -> None:
    slots = ParkedSlots(1)
    place = slots.reserve(ANNA)
    assert place is not None
    assert slots.being_written
    assert slots.best(ANNA) is None
    assert slots.reserve(ANNA) is None
    slots.saved(0, place, None)
    assert slots.best(ANNA) is None, "it could not be saved"
    assert not slots.being_written


def test_an_older_copy_of_the_same_conversation_is_written_over() -> None:
    slots = parked(3, ANNA)
    longer = SlotContent("anna", (1, 2, 3, 4), 400)
    assert slots.tokens_of_copies(longer) == 300
    assert park(slots, 1, longer) == 0
    assert slots.contents() == {0: longer}


def test_full_places_lose_the_longest_unused_file() -> None:
    bert, carl = SlotContent("bert", (1,)), SlotContent("carl", (1,))
    slots = parked(2, ANNA, bert)
    slots.loading(5, 0)
    assert slots.loaded(0) == ANNA
    assert park(slots, 6, carl) == 1
    assert slots.contents() == {0: ANNA, 1: carl}


def test_the_domain_with_the_most_files_loses_first() -> None:
    bert = SlotContent("bert", (1,))
    slots = parked(3, bert, ANNA, SlotContent("anna", (7,)))
    park(slots, 4, SlotContent("carl", (1,)))
    assert slots.contents()[0] == bert
    assert slots.contents()[1].domain == "carl"


def test_what_a_slot_holds_as_well_is_lost_first() -> None:
    bert = SlotContent("bert", (1,))
    slots = parked(2, bert, ANNA)
    longer = SlotContent("anna", (1, 2, 3, 4))
    assert slots.reserve(SlotContent("carl", (1,)), [longer], may_lose=False) == 1
    assert slots.contents() == {0: bert}


def test_the_only_file_of_a_conversation_is_lost_only_where_it_may() -> None:
    slots = parked(1, ANNA)
    assert slots.reserve(SlotContent("bert", (1,)), [SlotContent("anna", (1,))], may_lose=False) is None
    assert slots.reserve(SlotContent("bert", (1,)), [SlotContent("anna", (1,))]) == 0


def test_a_file_that_is_being_loaded_stays() -> None:
    slots = parked(1, ANNA)
    slots.loading(1, 0)
    assert slots.reserve(SlotContent("bert", (1,))) is None
    slots.loaded(0)
    assert slots.reserve(SlotContent("bert", (1,)), spared=0) is None, "it is about to be loaded"
    assert slots.reserve(SlotContent("bert", (1,))) == 0


def test_a_file_that_cannot_be_loaded_is_given_up() -> None:
    slots = parked(1, ANNA)
    slots.loading(1, 0)
    slots.loading(1, 0)
    slots.not_loaded(0)
    assert slots.contents() == {0: ANNA}, "somebody else still loads it"
    slots.not_loaded(0)
    assert slots.contents() == {}


def test_without_places_nothing_is_parked() -> None:
    assert ParkedSlots(0).reserve(ANNA) is None

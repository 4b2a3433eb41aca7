"""Which member copies next: one that may lead and has room, one by one, until there are enough."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.copies.copy_policy import MARGIN, PATIENCE, NextCopy, Site, missing_room, next_copy

GIB = 1 << 30
SIZE = 4 * GIB
ANNA = Site(b"a" * 16, "anna", holds=True)
BERT = Site(b"b" * 16, "bert", free=100 * GIB)
CARA = Site(b"c" * 16, "cara", free=200 * GIB)


def test_the_second_copy_goes_to_whoever_offers_most_memory() -> None:
    bert = replace(BERT, memory=8 * GIB)
    assert next_copy([ANNA, bert, CARA], ANNA.id, SIZE, 2) == NextCopy(bert.id)


def test_whoever_has_begun_goes_on() -> None:
    bert = replace(BERT, memory=8 * GIB)
    assert next_copy([ANNA, bert, replace(CARA, done=GIB)], ANNA.id, SIZE, 2).fetch == CARA.id


def test_a_leader_without_the_file_comes_first() -> None:
    holder = replace(ANNA, lead=False)
    assert next_copy([holder, replace(BERT, memory=GIB), CARA], CARA.id, SIZE, 1).fetch == CARA.id


def test_files_that_different_members_hold_are_brought_together() -> None:
    anna, bert = replace(ANNA, holds=False, done=GIB, free=100 * GIB), replace(BERT, done=3 * GIB)
    assert next_copy([anna, bert], anna.id, SIZE, 2, scattered=True) == NextCopy(anna.id)
    nobody = NextCopy(lacking="no machine that is alive holds the model")
    assert next_copy([anna, bert], anna.id, SIZE, 2) == nobody


def test_one_copies_at_a_time() -> None:
    assert next_copy([ANNA, replace(BERT, fetching=True), CARA], ANNA.id, SIZE, 3) == NextCopy()


def test_enough_copies_are_enough() -> None:
    assert next_copy([ANNA, replace(BERT, holds=True), CARA], ANNA.id, SIZE, 2) == NextCopy()
    assert next_copy([ANNA, BERT], ANNA.id, SIZE, 1) == NextCopy()


def test_a_holder_that_has_just_vanished_is_waited_for() -> None:
    vanished = replace(BERT, holds=True, alive=False, away=PATIENCE - 1)
    assert next_copy([ANNA, vanished, CARA], ANNA.id, SIZE, 2) == NextCopy()
    assert next_copy([ANNA, replace(vanished, away=PATIENCE), CARA], ANNA.id, SIZE, 2).fetch == CARA.id
    assert next_copy([vanished, CARA], CARA.id, SIZE, 1).lacking == "no machine that is alive holds the model"


def test_a_machine_that_is_alone_lacks_nothing() -> None:
    assert next_copy([ANNA], ANNA.id, SIZE, 2) == NextCopy()


def test_a_copy_where_nobody_may_lead_does_not_count() -> None:
    volunteer = replace(BERT, holds=True, lead=False)
    assert next_copy([ANNA, volunteer, CARA], ANNA.id, SIZE, 2).fetch == CARA.id


def test_each_machine_that_cannot_copy_is_named_with_the_reason() -> None:
    sites = [
        ANNA,
        replace(BERT, free=GIB),
        replace(CARA, lead=False),
        Site(b"d" * 16, "dora", alive=False),
        Site(b"e" * 16, "emil"),
        Site(b"f" * 16, "fred", free=100 * GIB, trouble="the disk is broken"),
    ]
    assert next_copy(sites, ANNA.id, SIZE, 2).lacking == (
        "1 of 2 copies: bert lacks 4.0 GiB of disk space, cara may not lead, dora is not reachable, "
        "emil does not answer, fred the disk is broken"
    )
    gone = [replace(ANNA, alive=False), BERT]
    assert next_copy(gone, BERT.id, SIZE, 2).lacking == "no machine that is alive holds the model"


@pytest.mark.parametrize(
    ("free", "done", "missing"),
    [(SIZE + MARGIN, 0, 0), (SIZE + MARGIN - 1, 0, 1), (MARGIN, SIZE, 0), (0, SIZE, MARGIN)],
)
def test_a_copy_leaves_a_margin_on_the_disk(free: int, done: int, missing: int) -> None:
    assert missing_room(free, SIZE, done) == missing


BOOLS = st.booleans()


@st.composite
def pools(draw: st.DrawFn) -> list[Site]:
    count = draw(st.integers(1, 7))
    return [
        Site(
            id=bytes([number]) * 16,
            name=f"m{number}",
            alive=draw(BOOLS),
            lead=draw(BOOLS),
            holds=draw(BOOLS),
            done=draw(st.sampled_from([0, GIB, SIZE])),
            free=draw(st.sampled_from([None, 0, SIZE, 10 * SIZE])),
            trouble=draw(st.sampled_from(["", "trouble"])),
            memory=draw(st.integers(0, 3)),
        )
        for number in range(count)
    ]


@given(pools(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_whoever_is_asked_can_make_a_copy_and_the_order_of_members_does_not_matter(
    sites: list[Site], copies: int, random: Random
) -> None:
    found = next_copy(sites, sites[0].id, SIZE, copies)
    random.shuffle(shuffled := list(sites))
    assert next_copy(shuffled, sites[0].id, SIZE, copies).fetch == found.fetch
    if found.fetch is not None:
        chosen = next(site for site in sites if site.id == found.fetch)
        assert chosen.alive
        assert chosen.lead
        assert not chosen.holds
        assert not chosen.trouble
        assert chosen.free is not None
        assert missing_room(chosen.free, SIZE, chosen.done) == 0


@given(pools(), st.integers(1, 8))
def test_made_one_after_another_there_are_as_many_copies_as_are_wanted_or_possible(
    sites: list[Site], copies: int
) -> None:
    before = sum(site.alive and site.lead and site.holds for site in sites)
    able = sum(
        site.alive and site.lead and not site.holds and not site.trouble
        and site.free is not None and not missing_room(site.free, SIZE, site.done)
        for site in sites
    )  # fmt: skip
    source = any(site.alive and site.holds for site in sites)
    for _ in range(len(sites) + 1):
        found = next_copy(sites, sites[0].id, SIZE, copies)
        if found.fetch is None:
            break
        sites = [replace(site, holds=True) if site.id == found.fetch else site for site in sites]
    after = sum(site.alive and site.lead and site.holds for site in sites)
    assert after == (max(before, min(copies, before + able)) if source else before)
    assert bool(found.lacking) == ((after < copies and len(sites) > 1) or not source)

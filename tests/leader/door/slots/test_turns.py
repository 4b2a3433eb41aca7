"""Whose turn it is: fair among domains, in order within one, and nobody waits for ever."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.slots.turns import MAX_REMEMBERED, TooManyWaiting, Turns


def started(turns: Turns, count: int) -> list[int]:
    """The next tickets, none of which ends."""
    tickets = []
    for now in range(count):
        ticket = turns.next()
        assert ticket is not None
        turns.start(now, ticket)
        tickets.append(ticket)
    return tickets


def test_within_a_domain_the_first_that_came_is_first() -> None:
    turns = Turns()
    tickets = [turns.arrive("anna") for _ in range(3)]
    assert started(turns, 3) == tickets
    assert turns.next() is None


def test_the_domain_with_the_fewest_slots_is_first() -> None:
    turns = Turns()
    annas = [turns.arrive("anna") for _ in range(3)]
    bert = turns.arrive("bert")
    assert started(turns, 2) == [annas[0], bert]
    turns.leave(bert)
    late = turns.arrive("carl")
    assert started(turns, 2) == [late, annas[1]]


def test_among_equals_the_longest_unserved_domain_is_first() -> None:
    turns = Turns()
    for now, domain in enumerate(["anna", "bert"]):
        ticket = turns.arrive(domain)
        turns.start(now, ticket)
        turns.leave(ticket)
    bert, anna = turns.arrive("bert"), turns.arrive("anna")
    assert started(turns, 2) == [anna, bert]


def test_who_leaves_has_no_turn() -> None:
    turns = Turns()
    first, second = turns.arrive("anna"), turns.arrive("anna")
    turns.leave(first)
    assert turns.next() == second
    turns.leave(second)
    turns.leave(second)
    assert turns.next() is None


def test_barred_tickets_let_others_by() -> None:
    turns = Turns()
    first, second = turns.arrive("anna"), turns.arrive("anna")
    assert turns.next({first}) == second
    assert turns.next({first, second}) is None


def test_no_more_may_wait_than_there_is_room_for() -> None:
    turns = Turns(most=2)
    first = turns.arrive("anna")
    turns.arrive("bert")
    with pytest.raises(TooManyWaiting):
        turns.arrive("carl")
    turns.leave(first)
    assert turns.waiting == 1
    turns.arrive("carl")


def test_what_is_remembered_of_domains_is_bounded() -> None:
    turns = Turns()
    for number in range(MAX_REMEMBERED + 10):
        ticket = turns.arrive(str(number))
        turns.start(number, ticket)
        turns.leave(ticket)
    assert len(turns._last_start) == MAX_REMEMBERED
    assert not turns._in_use
    assert not turns._running


@given(st.lists(st.sampled_from("aaaaaabc"), min_size=1, max_size=60), st.integers(1, 3))
def test_everybody_has_a_turn_and_each_domain_an_early_one(arrivals: list[str], slots: int) -> None:
    turns = Turns()
    domains = {turns.arrive(domain): domain for domain in arrivals}
    running: list[int] = []
    order = []
    for now in itertools.count():
        if (ticket := turns.next()) is None:
            break
        turns.start(now, ticket)
        running.append(ticket)
        order.append(domains[ticket])
        if len(running) == slots:
            turns.leave(running.pop(0))
    assert sorted(order) == sorted(arrivals)
    for domain in set(arrivals):
        before = order[: order.index(domain)]
        assert len(set(before)) == len(before), "each other domain has had one turn at most"


def test_what_a_death_cut_off_goes_before_all_that_is_new() -> None:
    turns = Turns()
    new = turns.arrive("mallory")
    cut_off = [turns.arrive("anna", urgent=True), turns.arrive("bert", urgent=True)]
    assert started(turns, 3) == [*cut_off, new]


def test_an_urgent_one_that_is_barred_or_leaves_holds_up_nobody() -> None:
    turns = Turns()
    new, barred, left = turns.arrive("a"), turns.arrive("b", urgent=True), turns.arrive("c", urgent=True)
    turns.leave(left)
    assert turns.next({barred}) == new

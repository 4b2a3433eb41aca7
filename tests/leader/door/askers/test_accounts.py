import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.askers.accounts import Askers, Ticket
from leader.door.askers.limits import MOST_DEBT_SECONDS, Limits
from leader.door.orders import Refused


def accepted(askers: Askers, now: float = 0.0, member: str = "bert", **how: bool) -> Ticket:
    ticket = askers.begin(now, member, **{"owner": False, **how})
    assert isinstance(ticket, Ticket), ticket
    return ticket


def refused(askers: Askers, now: float = 0.0, member: str = "bert", **how: bool) -> Refused:
    refusal = askers.begin(now, member, **{"owner": False, **how})
    assert isinstance(refusal, Refused)
    assert refusal.retry_after > 0
    return refusal


def test_what_a_request_was_is_counted() -> None:
    askers = Askers()
    ticket = accepted(askers, 10.0)
    bert = askers.accounts()["bert"]
    assert (bert.queued, bert.in_flight) == (1, 0)
    ticket.started(12.5)
    ticket.started(13.0)
    assert (bert.queued, bert.in_flight) == (0, 1)
    ticket.received(100)
    ticket.sent(7)
    ticket.sent(8)
    ticket.tokens(30, 1)
    ticket.tokens(0, 4)
    ticket.end(20.0)
    ticket.end(21.0)
    assert (bert.queued, bert.in_flight, bert.requests, bert.refused) == (0, 0, 1, 0)
    assert (bert.bytes_in, bert.bytes_out, bert.prompt_tokens, bert.generated_tokens) == (100, 15, 30, 5)


def test_a_request_that_is_refused_or_given_up_while_it_waits_leaves_nothing_open() -> None:
    askers = Askers()
    ticket = accepted(askers)
    ticket.refused()
    ticket.end(1.0)
    ticket.started(2.0)
    bert = askers.accounts()["bert"]
    assert (bert.queued, bert.in_flight, bert.requests, bert.refused) == (0, 0, 1, 1)


def test_so_many_requests_of_a_member_wait_and_no_more() -> None:
    askers = Askers(Limits(queued=3))
    tickets = [accepted(askers) for _ in range(3)]
    told = refused(askers)
    assert (told.status, told.code) == (429, "too_many_requests")
    assert "3 requests of this member are waiting" in told.message
    accepted(askers, member="carl")
    tickets[0].end(1.0)
    accepted(askers)


def test_so_many_requests_of_a_member_are_in_flight_and_the_next_waits() -> None:
    askers = Askers(Limits(in_flight=2))
    for _ in range(2):
        accepted(askers).started(0.0)
    waiting = accepted(askers)
    assert not waiting.may_start
    assert accepted(askers, member="carl").may_start


def test_what_is_in_flight_already_may_start_more() -> None:
    askers = Askers(Limits(in_flight=1))
    ticket = accepted(askers)
    ticket.started(0.0)
    assert (ticket.may_start, accepted(askers).may_start) == (True, False)


def test_who_took_too_many_tokens_waits_until_they_are_paid_for() -> None:
    askers = Askers(Limits(tokens_per_minute=600))
    for now in (0.0, 1.0):
        ticket = accepted(askers, now)
        ticket.tokens(700, 100, cached=400)
        ticket.end(now + 1)
    told = refused(askers, 2.0)
    assert (told.status, told.code) == (429, "too_many_tokens")
    assert told.retry_after == pytest.approx(19.0)
    assert "600 tokens a minute" in told.message
    accepted(askers, 2.0 + told.retry_after)


def test_a_minutes_tokens_may_be_taken_at_once_after_a_minutes_rest() -> None:
    askers = Askers(Limits(tokens_per_minute=600))
    ticket = accepted(askers, 1000.0)
    ticket.tokens(300, 300)
    ticket.end(1000.0)
    accepted(askers, 1000.0)


def test_nobody_pays_for_longer_than_an_hour() -> None:
    askers = Askers(Limits(tokens_per_minute=1))
    ticket = accepted(askers)
    ticket.tokens(1_000_000, 0)
    ticket.end(5.0)
    assert refused(askers, 5.0).retry_after == MOST_DEBT_SECONDS


def test_owners_are_exempt_and_counted() -> None:
    askers = Askers(Limits(in_flight=1, queued=1, tokens_per_minute=1))
    for _ in range(5):
        ticket = accepted(askers, owner=True)
        ticket.started(0.0)
        ticket.tokens(100, 100)
    assert ticket.may_start
    ticket.end(0.0)
    assert askers.accounts()["bert"].requests == 5
    accepted(askers, owner=True)


def test_owners_are_limited_where_told() -> None:
    askers = Askers(Limits(queued=1, owners=True))
    accepted(askers, owner=True)
    refused(askers, owner=True)


def test_a_refusal_elsewhere_is_counted() -> None:
    askers = Askers()
    askers.refuse(0.0, "bert")
    assert (askers.accounts()["bert"].requests, askers.accounts()["bert"].refused) == (1, 1)


def test_of_too_many_the_least_recently_heard_of_is_forgotten() -> None:
    askers = Askers(most=2)
    for member in ("anna", "bert", "anna", "carl"):
        accepted(askers, member=member).end(0.0)
    assert list(askers.accounts()) == ["anna", "carl"]


def test_a_member_that_owes_is_not_forgotten_for_another() -> None:
    askers = Askers(Limits(tokens_per_minute=60), most=1)
    ticket = accepted(askers)
    assert refused(askers, member="carl").status == 503
    ticket.tokens(0, 90)
    ticket.end(0.0)
    assert refused(askers, 29.0, member="carl").status == 503
    accepted(askers, 30.0, member="carl")
    assert list(askers.accounts()) == ["carl"]


_STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "start", "end"]), st.sampled_from("abcd"), st.integers(0, 9)),
    max_size=80,
)


@given(_STEPS)
def test_whatever_comes_no_member_has_more_than_its_limits_allow(steps: list[tuple[str, str, int]]) -> None:
    askers = Askers(Limits(in_flight=2, queued=3), most=3)
    tickets: list[Ticket] = []
    for now, (what, member, which) in enumerate(steps):
        if what == "begin":
            answer = askers.begin(float(now), member, owner=False)
            if isinstance(answer, Ticket):
                tickets.append(answer)
        elif tickets and what == "start" and tickets[which % len(tickets)].may_start:
            tickets[which % len(tickets)].started(float(now))
        elif tickets and what == "end":
            tickets.pop(which % len(tickets)).end(float(now))
        accounts = askers.accounts()
        assert len(accounts) <= 3
        assert all(0 <= one.in_flight <= 2 and 0 <= one.queued <= 3 for one in accounts.values())
        assert sum(one.in_flight + one.queued for one in accounts.values()) == len(tickets)

"""Whoever calls and proves nothing takes little room, and none of what others need."""

import pytest
import trio

from mesh.net.callers import (
    BURST,
    MAX_CALLERS,
    MAX_CALLERS_OF_A_SOURCE,
    MAX_SOURCES,
    RATE,
    Callers,
    Places,
    source_of,
)


def calls(callers: Callers, host: str, times: int, now: float = 0.0) -> list[trio.CancelScope]:
    arrived = [callers.arrive(host, now) for _ in range(times)]
    return [scope for scope in arrived if scope is not None]


async def test_a_source_has_room_for_a_few_and_gets_it_back() -> None:
    callers = Callers()
    held = calls(callers, "10.0.0.1", MAX_CALLERS_OF_A_SOURCE + 10)
    assert len(held) == MAX_CALLERS_OF_A_SOURCE
    assert calls(callers, "10.0.0.2", 1)
    callers.depart(held[0], as_member=False)
    assert len(calls(callers, "10.0.0.1", 2)) == 1


async def test_when_all_room_is_taken_the_source_that_has_most_gives_way() -> None:
    callers = Callers()
    greedy = calls(callers, "10.6.6.6", MAX_CALLERS_OF_A_SOURCE)
    others = [
        calls(callers, f"10.0.{number // 250}.{number % 250}", 1)[0] for number in range(MAX_CALLERS - 32)
    ]
    assert len(callers) == MAX_CALLERS
    (late,) = calls(callers, "10.1.1.1", 1)
    assert len(callers) == MAX_CALLERS
    assert [scope.cancel_called for scope in greedy] == [True] + [False] * (len(greedy) - 1)
    assert not any(scope.cancel_called for scope in (*others, late))


async def test_a_source_that_calls_and_hangs_up_all_the_time_is_slowed_down() -> None:
    callers = Callers()
    taken = 0
    for number in range(1000):
        for scope in calls(callers, "10.6.6.6", 1, now=number / 1000):
            taken += 1
            callers.depart(scope, as_member=False)
    assert taken == pytest.approx(BURST + RATE, abs=2)


async def test_members_may_call_as_often_as_they_like() -> None:
    callers = Callers()
    for _ in range(10 * int(BURST)):
        (scope,) = calls(callers, "10.0.0.1", 1)
        callers.depart(scope, as_member=True)


async def test_what_is_remembered_of_sources_is_bounded() -> None:
    callers = Callers()
    for number in range(3 * MAX_SOURCES):
        for scope in calls(callers, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1):
            callers.depart(scope, as_member=False)
    assert len(callers._meter) == MAX_SOURCES
    assert len(callers) == 0
    assert not callers._places._held


def test_who_has_an_ipv6_network_is_one_source() -> None:
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1%eth0") != source_of("2001:db8:0:1::1")
    assert source_of("10.0.0.1") == source_of("::ffff:10.0.0.1") != source_of("10.0.0.2")


def test_the_longest_waiting_is_of_the_greediest_source_that_has_one() -> None:
    places = Places[str](6, 3)
    waits = {"a1": None, "a2": None, "a3": None, "b1": 5.0, "b2": 4.0, "c1": 1.0}
    for holder in waits:
        places.take(holder, holder[0])
    assert places.is_full()
    assert [places.is_full(source) for source in "abc"] == [True, False, False]
    assert places.longest(waits.get) == "b2"
    assert places.longest(waits.get, "c") == "c1"
    assert places.longest(waits.get, "a") is None
    assert places.leave("b2") == "b"
    assert places.leave("b2") is None
    assert places.longest(waits.get) == "b1"
    assert not places.is_full()

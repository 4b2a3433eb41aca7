"""Slots are handed out in turns, made ready, and come back whatever becomes of who had them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from leader.door.slots.parking_cost import MOST_USELESS, ParkingCost
from leader.door.slots.slot_table import SlotTable
from leader.door.slots.turns import TooManyWaiting, Turns
from mesh.serving.asking.slot_turns import SlotsGone, SlotTurn, SlotTurns
from tests.mesh.serving.slots_of_engine import StandInEngine

LONG = tuple(range(20))
OTHER = tuple(range(20, 40))


@asynccontextmanager
async def handing_out(
    slots: int = 1, places: int = 4, most: int = 100
) -> AsyncIterator[tuple[SlotTurns, StandInEngine]]:
    cost = ParkingCost(1000)
    for _ in range(50):
        cost.saw_prefill(100, 1.0)
    async with trio.open_nursery() as nursery:
        engine = StandInEngine(nursery)
        turns = SlotTurns(SlotTable(slots, places, cost), engine.connect, engine, Turns(most))
        await nursery.start(turns.run)
        yield turns, engine
        nursery.cancel_scope.cancel()


async def ask(turns: SlotTurns, domain: str, beginnings: tuple[int, ...], found: int = 1) -> bool:
    """A whole answer; whether it reused what was there."""
    async with turns.turn(domain, beginnings) as turn:
        await compute(turn, domain, found)
        return turn.reuse


async def compute(turn: SlotTurn, domain: str, found: int = 1) -> None:
    stream = await turn.connect()
    try:
        await stream.send_all(f"{domain} {turn.slot} {turn.reuse}".encode())
        assert await stream.receive_some() == b"done"
        turn.used(1000, found, 1000, 10.0)
    finally:
        await trio.aclose_forcefully(stream)


async def test_the_next_waits_until_the_slot_is_free() -> None:
    async with handing_out() as (turns, _), trio.open_nursery() as nursery:
        async with turns.turn("anna", LONG):
            nursery.start_soon(ask, turns, "bert", LONG)
            await trio.testing.wait_all_tasks_blocked()
            assert (turns.waiting, turns.busy) == (1, 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (turns.waiting, turns.busy) == (0, 0)


async def test_a_domain_goes_on_with_its_own_and_another_does_not() -> None:
    async with handing_out() as (turns, _):
        assert not await ask(turns, "anna", LONG)
        assert await ask(turns, "anna", LONG)
        assert not await ask(turns, "bert", LONG)


async def test_what_is_anothers_is_erased_first() -> None:
    async with handing_out() as (turns, engine):
        await ask(turns, "anna", LONG)
        async with turns.turn("bert", LONG):
            assert engine.really == {}
        assert turns.contents() == {}


async def test_without_files_slots_are_handed_out_all_the_same() -> None:
    async with trio.open_nursery() as nursery:
        engine = StandInEngine(nursery)
        turns = SlotTurns(SlotTable(1), engine.connect, None)
        await nursery.start(turns.run)
        assert [await ask(turns, domain, LONG) for domain in "aab"] == [False, True, False]
        nursery.cancel_scope.cancel()


async def test_a_conversation_comes_back_from_where_it_was_parked() -> None:
    async with handing_out() as (turns, engine):
        await ask(turns, "anna", LONG)
        await ask(turns, "bert", LONG)
        assert engine.files == {0: "anna"}
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert engine.files == {0: "anna", 1: "bert"}, "ahead of time"
        assert await ask(turns, "anna", LONG)
        assert engine.asked == ["park 0 0", "park 0 1", "unpark 0 0"]


async def test_where_llama_server_uses_nothing_of_a_file_none_are_made_any_more() -> None:
    async with handing_out() as (turns, engine):
        for domain in "ab" * 10:
            await ask(turns, domain, LONG, found=0)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert len([asked for asked in engine.asked if asked.startswith("unpark")]) == MOST_USELESS
        assert len(engine.asked) < 10


async def test_where_nothing_can_be_saved_or_loaded_all_are_answered_still() -> None:
    async with handing_out() as (turns, engine):
        await ask(turns, "anna", LONG)
        engine.fails = True
        assert not await ask(turns, "bert", LONG)
        engine.fails = False
        await ask(turns, "carl", LONG)
        await trio.testing.wait_all_tasks_blocked(0.01)
        engine.fails = True
        assert not await ask(turns, "bert", LONG)
        assert len(engine.asked) < 10, "what fails is not tried without end"


async def test_a_slot_whose_client_hung_up_waits_for_llama_server() -> None:
    async with handing_out() as (turns, engine), trio.open_nursery() as nursery:
        engine.answers = trio.Event()
        with trio.move_on_after(0.05):
            await ask(turns, "anna", LONG)
        nursery.start_soon(ask, turns, "bert", LONG)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (turns.waiting, turns.busy, engine.computing) == (1, 1, 1)
        engine.answers.set()


async def test_one_that_leaves_while_its_slot_is_made_ready_leaves_it_to_the_next() -> None:
    async with handing_out() as (turns, engine):
        await ask(turns, "anna", LONG)
        engine.seconds = 0.05
        with trio.move_on_after(0.02):
            await ask(turns, "bert", LONG)
        assert (turns.busy, engine.asked) == (1, ["park 0 0"])
        engine.seconds = 0
        assert await ask(turns, "anna", LONG), "it comes back from its file"


async def test_a_request_that_was_refused_leaves_a_slot_that_nobody_reuses() -> None:
    async with handing_out() as (turns, _):
        await ask(turns, "anna", LONG)
        async with turns.turn("bert", LONG) as turn:
            await trio.aclose_forcefully(await turn.connect())
        assert not await ask(turns, "bert", LONG)


async def test_a_turn_for_several_requests_reuses_what_the_first_left() -> None:
    async with handing_out() as (turns, _), turns.turn("anna", LONG, holds=True) as turn:
        reused = [turn.reuse]
        await compute(turn, "anna")
        reused.append(turn.reuse)
        await compute(turn, "anna")
    assert reused == [False, True]


async def test_the_engines_choice_waits_for_those_who_reuse() -> None:
    async with handing_out(slots=2) as (turns, _):
        await ask(turns, "anna", LONG)
        chosen = trio.Event()

        async def choose() -> None:
            async with turns.engine_choice():
                chosen.set()
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            async with turns.turn("anna", LONG) as turn:
                assert turn.reuse
                nursery.start_soon(choose)
                await trio.testing.wait_all_tasks_blocked()
                waits = not chosen.is_set()
                assert not await ask(turns, "bert", LONG), "others go on"
                assert waits
            await chosen.wait()
            assert not await ask(turns, "anna", LONG)
            nursery.start_soon(held, turns)
            await trio.testing.wait_all_tasks_blocked()
            assert turns.waiting == 1, "what needs its slot untouched waits"
            nursery.cancel_scope.cancel()
        await ask(turns, "anna", LONG)
        assert await ask(turns, "anna", LONG)


async def held(turns: SlotTurns) -> None:
    async with turns.turn("anna", LONG, holds=True):
        pass


async def test_a_choice_that_is_given_up_changes_nothing_for_long() -> None:
    async with handing_out() as (turns, _):
        async with turns.turn("anna", LONG):
            with trio.move_on_after(0.01):
                async with turns.engine_choice():
                    pytest.fail("it waits")
        async with turns.engine_choice() as use:
            await trio.aclose_forcefully(await use.connect())
        await trio.testing.wait_all_tasks_blocked(0.01)
        await ask(turns, "anna", LONG)
        assert await ask(turns, "anna", LONG)


async def test_more_than_may_wait_are_refused() -> None:
    async with handing_out(most=0) as (turns, _):
        with pytest.raises(TooManyWaiting):
            async with turns.turn("anna", LONG):
                pytest.fail("there is no room")


async def test_whoever_waits_is_told_when_the_slots_are_gone() -> None:
    told = []

    async def wait(turns: SlotTurns) -> None:
        with pytest.raises(SlotsGone):
            await ask(turns, "bert", LONG)
        with pytest.raises(SlotsGone):
            async with turns.engine_choice():
                pytest.fail("there is nothing to choose")
        told.append(True)

    async with trio.open_nursery() as nursery:
        async with handing_out() as (turns, _):
            context = turns.turn("anna", LONG)
            turn = await context.__aenter__()
            stream = await turn.connect()
            nursery.start_soon(wait, turns)
            await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(stream)
        await context.__aexit__(None, None, None)
        async with handing_out() as (turns, _):
            choice = turns.engine_choice()
            stream = await (await choice.__aenter__()).connect()
        await trio.aclose_forcefully(stream)
        await choice.__aexit__(None, None, None)
    assert told == [True]
    assert turns.busy == 0
    with pytest.raises(SlotsGone):
        await ask(turns, "anna", LONG)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([(), LONG, OTHER, LONG[:5]]),
        st.integers(0, 6),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(REQUESTS, st.integers(1, 3))
def test_whenever_anybody_leaves_no_slot_is_lost(
    requests: list[tuple[str, tuple[int, ...], int, int]], slots: int
) -> None:
    """Each begins and gives up at some time; parking, loading and computing take a second each."""
    answered = []

    async def one(
        turns: SlotTurns, domain: str, beginnings: tuple[int, ...], begins: int, leaves: int
    ) -> None:
        await trio.sleep(begins + 0.1)
        with trio.move_on_after(1.25 * leaves + 0.05 if leaves < 8 else 1e6):
            await ask(turns, domain, beginnings)
            answered.append(domain)

    async def all_of_them() -> None:
        async with handing_out(slots) as (turns, engine):
            engine.seconds = 1.0
            async with trio.open_nursery() as nursery:
                for request in requests:
                    nursery.start_soon(one, turns, *request)
            await trio.sleep(100)
            assert (turns.busy, turns.waiting, engine.computing) == (0, 0, 0)
            assert all(engine.really[slot] == domain for slot, domain in turns.table.domains().items())
            await ask(turns, "d", LONG)

    trio.run(all_of_them, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(answered) >= sum(leaves >= 8 for *_, leaves in requests), "who waits is answered"

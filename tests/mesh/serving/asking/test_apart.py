"""What others sent is read by other processes: nobody here waits for it, and nobody keeps them all busy."""

import json
import time
from collections.abc import AsyncIterator

import pytest
import trio

from leader.door.orders import EngineFacts, Order, OwnAnswer
from mesh.serving.asking import apart
from mesh.serving.asking.apart import Apart, TooMuch
from mesh.serving.asking.held_bodies import NoRoom

ENGINE = EngineFacts("tiny", 4096, 2)
PROPS = ("GET", b"/props", b"", ENGINE)


@pytest.fixture
async def asked() -> AsyncIterator[Apart]:
    made = Apart()
    yield made
    await made.aclose()


def completion(prompt: str) -> tuple[str, bytes, bytes, EngineFacts]:
    return "POST", b"/completion", json.dumps({"prompt": prompt}).encode(), ENGINE


@pytest.mark.parametrize("length", [1, 3_000_000])
async def test_questions_and_answers_may_be_long(asked: Apart, length: int) -> None:
    order = await asked.ask("anna", "judge", *completion("a" * length))
    assert isinstance(order, Order)
    assert json.loads(order.bodies[0])["prompt"] == "a" * length


async def test_a_process_answers_one_question_after_the_other(asked: Apart) -> None:
    for _ in range(3):
        assert await asked.ask("anna", "judge", *PROPS) == OwnAnswer("props")
    assert len(asked._idle) == 1


async def test_what_takes_long_to_read_costs_this_process_nothing(asked: Apart) -> None:
    content = b'{"body": [' + b"[]," * (2 << 20) + b"[]]}"
    began = time.thread_time()
    assert "not one to take up" in await asked.ask("anna", "resume", content)
    assert time.thread_time() - began < 0.1


async def test_what_takes_too_long_is_given_up_and_the_next_is_answered(
    asked: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "APART_SECONDS", 0.0)
    with pytest.raises(TooMuch):
        await asked.ask("anna", "judge", *PROPS)
    monkeypatch.setattr(apart, "APART_SECONDS", 30.0)
    assert await asked.ask("anna", "judge", *PROPS) == OwnAnswer("props")


async def test_where_no_process_can_be_started_there_is_no_room(
    asked: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> trio.Process:
        raise BlockingIOError

    monkeypatch.setattr(trio.lowlevel, "open_process", fail)
    with pytest.raises(NoRoom):
        await asked.ask("anna", "judge", *PROPS)


async def test_a_process_that_ends_is_replaced(asked: Apart) -> None:
    with pytest.raises(TooMuch):
        await asked.ask("anna", "nothing of this name")
    assert await asked.ask("anna", "judge", *PROPS) == OwnAnswer("props")


async def test_a_member_keeps_one_process_busy_and_others_have_the_other(asked: Apart) -> None:
    order: list[str] = []
    slow = b'{"body": [' + b"[]," * (1 << 20) + b"[]]}"

    async def ask(member: str, *question: object) -> None:
        await asked.ask(member, *question)  # type: ignore[arg-type]
        order.append(member)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask, "mallory", "resume", slow)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, "anna", "judge", *PROPS)
    assert order.index("anna") <= 1


async def test_who_leaves_while_it_is_read_leaves_no_process(asked: Apart) -> None:
    with trio.move_on_after(0.05):
        await asked.ask("anna", "resume", b"[" * (8 << 20))
    await asked.aclose()
    assert asked._idle == []

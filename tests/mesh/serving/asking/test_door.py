"""Whoever may ask at the leader's door can harm nobody: what is refused, what is answered, and what ends."""

import json
from typing import Any

import h11
import pytest
import trio
from trio.testing import MockClock

from leader.door.askers.limits import Limits
from mesh.gateway.connection import HEAD_LIMIT
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText, encode_resume_request
from mesh.net.stream_kinds import StreamKind
from mesh.serving.asking import held_bodies
from mesh.serving.asking.door import Caller
from tests.mesh.serving.asking.scripted_engine import (
    ANNA,
    BERT,
    OWNER,
    Asked,
    OpenDoor,
    chat,
    chat_chunk,
    chat_stream,
    hold,
    hold_silently,
    nobody,
    open_door,
    say_hello,
    settle,
)

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**HELLO, "stream": True}
MESSAGE = {**HELLO, "max_tokens": 1}
CHATS = "/v1/chat/completions"


def error_of(content: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(content)["error"]
    return error


# --- refused, or answered by the door itself


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/slots/0?action=save", HELLO, 404),
        ("/v1/messages/batches", HELLO, 404),
        ("/v1/responses/1/cancel", HELLO, 404),
        (CHATS, b"{", 400),
        (CHATS, {**HELLO, "id_slot": 0}, 400),
        ("/v1/messages", {"messages": 3}, 400),
        ("/v1/responses", {"input": 3}, 400),
        (CHATS, None, 405),
        ("/v1/messages", None, 405),
        ("/v1/embeddings", {"input": "a"}, 501),
    ],
)
async def test_what_is_refused_is_told_in_the_paths_dialect(path: str, body: Any, status: int) -> None:
    async with open_door(nobody) as opened:
        got, _, content = await opened.ask(path, body)
        assert (got, opened.account().refused) == (status, 1)
        assert ("type" in json.loads(content)) is path.startswith("/v1/messages")
        assert error_of(content)["message"]


async def test_a_request_that_is_too_large_is_refused_before_it_is_read() -> None:
    async with open_door(nobody) as opened:
        client = opened.connect()
        await client.stream.send_all(
            b"POST /completion HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n"
        )
        assert (await client.head()).status_code == 413


async def test_slots_and_props_are_the_doors_own_answers() -> None:
    async with open_door(nobody, slots=2) as opened:
        status, _, content = await opened.ask("/slots")
        assert (status, len(json.loads(content))) == (200, 2)
        assert json.loads((await opened.ask("/props"))[2])["model_alias"] == "tiny"


async def test_while_nothing_is_served_it_is_said_in_the_paths_dialect() -> None:
    async with open_door(nobody) as opened:
        opened.serves = False
        status, headers, content = await opened.ask("/v1/messages", HELLO)
        assert (status, headers["x-mesh-not-serving"]) == (503, "1")
        assert json.loads(content)["type"] == "error"


async def test_the_door_takes_no_stream_before_it_is_open() -> None:
    async with open_door(nobody) as opened, trio.open_nursery() as nursery:
        closed = OpenDoor(nursery, opened.engine, Limits())
        with pytest.raises(ConnectionRefusedError):
            closed.connect()


# --- limits


async def test_bodies_are_held_within_bounds_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_bodies, "MAX_HELD", 300)
    async with open_door(say_hello) as opened:
        client = opened.connect()
        await client.stream.send_all(b"POST /completion HTTP/1.1\r\nhost: a\r\ncontent-length: 300\r\n\r\n")
        await client.stream.send_all(b"{" * 250)
        await settle()
        status, headers, content = await opened.ask("/v1/messages", MESSAGE)
        assert (status, json.loads(content)["type"], headers["retry-after"]) == (503, "error", "2")
        assert (await opened.ask(CHATS, HELLO, BERT))[0] == 200, "others are"
        await opened.hang_up(client)
        assert (await opened.ask(CHATS, HELLO))[0] == 200


async def test_what_the_door_makes_of_a_request_is_held_within_bounds_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_bodies, "MAX_HELD", 2000)
    async with open_door(say_hello) as opened:
        assert (await opened.ask("/completion", {"prompt": "a" * 500, "n": 4}))[0] == 503
        assert (await opened.ask("/completion", {"prompt": "a" * 500, "n": 2}))[0] == 200


@pytest.mark.parametrize("body", [HELLO, STREAM, {**HELLO, "n": 2}, {**STREAM, "n": 2}])
async def test_when_the_queue_is_full_it_says_when_to_come_again(body: dict[str, Any]) -> None:
    async with open_door(say_hello, most=0) as opened:
        status, headers, content = await opened.ask(CHATS, body)
        assert (status, error_of(content)["code"], headers["retry-after"]) == (503, "overloaded", "2")


async def test_a_request_has_one_place_in_the_queue_however_many_answers_it_asks_for() -> None:
    async with open_door(hold) as opened:
        await opened.asking(CHATS, {**HELLO, "n": 64})
        assert (opened.engine.turns.busy, opened.engine.turns.waiting) == (1, 1)


async def test_a_member_with_too_much_waiting_is_told_to_come_later() -> None:
    async with open_door(hold, limits=Limits(in_flight=1, queued=1)) as opened:
        for _ in range(2):
            await opened.asking(CHATS, STREAM)
        status, headers, content = await opened.ask("/v1/messages", MESSAGE)
        assert (status, headers["retry-after"]) == (429, "2")
        assert error_of(content)["type"] == "rate_limit_error"
        assert opened.account().refused == 1


async def test_a_request_for_several_answers_needs_one_place_in_flight() -> None:
    async with open_door(say_hello, slots=2, limits=Limits(in_flight=1)) as opened:
        with trio.fail_after(5):
            assert (await opened.ask(CHATS, {**HELLO, "n": 5}))[0] == 200


async def test_a_member_has_no_more_in_flight_than_it_may_though_all_slots_are_free() -> None:
    async with open_door(hold, slots=3, limits=Limits(in_flight=1)) as opened:
        clients = [opened.connect() for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.ask, "POST", CHATS, json.dumps(STREAM).encode())
        await settle()
        assert (opened.account().in_flight, opened.account().queued) == (1, 2)


async def test_a_silent_stream_ends_after_ten_seconds_and_is_no_answer(autojump_clock: MockClock) -> None:
    async with open_door(nobody) as opened:
        client, began = opened.connect(), trio.current_time()
        assert await client.stream.receive_some() == b""
        assert trio.current_time() - began == pytest.approx(HEAD_LIMIT)
        slow = opened.connect()
        await slow.stream.send_all(b"POST /completion HTTP/1.1\r\nhost: a\r\ncontent-length: 300\r\n\r\n{")
        await settle()
        assert (opened.engine.answers.count, opened.account().queued) == (0, 1)


# --- clients that hang up


async def test_a_client_that_hangs_up_in_the_queue_leaves_it() -> None:
    async with open_door(hold) as opened:
        await opened.asking(CHATS, STREAM)
        second = await opened.asking(CHATS, HELLO, BERT)
        assert opened.engine.turns.waiting == 1
        await opened.hang_up(second)
        assert (opened.engine.turns.waiting, len(opened.engine.asked)) == (0, 1)


@pytest.mark.parametrize("body", [HELLO, STREAM, {**HELLO, "n": 2}, {**STREAM, "n": 2}])
async def test_a_slot_is_free_when_llama_server_is_done_not_when_its_client_is(body: dict[str, Any]) -> None:
    done = trio.Event()

    async def compute(asked: Asked) -> None:
        if asked.body.get("stream"):
            await asked.begin(chat_chunk("hel"))
        await done.wait()

    async with open_door(compute) as opened:
        await opened.hang_up(await opened.asking(CHATS, body))
        assert (opened.engine.turns.busy, opened.account().in_flight) == (1, 0)
        done.set()
        await settle()
        assert opened.engine.turns.busy == 0


# --- the end of llama-server


@pytest.mark.parametrize("body", [MESSAGE, {**MESSAGE, "stream": True}])
async def test_a_death_before_the_answer_is_told_and_who_waits_has_no_part_in_it(
    body: dict[str, Any],
) -> None:
    async with open_door(hold_silently) as opened:
        clients = [await opened.asking("/v1/messages", body, who) for who in (ANNA, BERT)]
        await opened.die()
        for client in clients:
            status, headers, content = await client.answer()
            assert (status, headers["x-mesh-engine-died"]) == (503, "1")
            assert json.loads(content)["type"] == "error"
        assert (opened.deaths.deaths("anna"), opened.deaths.deaths("bert")) == (1, 0)


async def test_a_member_by_whom_llama_server_died_is_suspended() -> None:
    async with open_door(hold_silently) as opened:
        await opened.asking(CHATS, HELLO)
        await opened.die()
        status, headers, _ = await opened.ask(CHATS, {**HELLO, "seed": 1})
        assert (status, headers["retry-after"]) == (429, "60")


async def test_a_request_by_which_llama_server_died_twice_is_not_tried_again() -> None:
    async with open_door(hold_silently) as opened:
        for _ in range(2):  # an owner is never suspended
            await opened.asking(CHATS, HELLO, OWNER)
            await opened.die()
        status, _, content = await opened.ask(CHATS, STREAM, OWNER)
        assert (status, error_of(content)["code"]) == (422, "engine_died")


@pytest.mark.parametrize("path", [CHATS, "/v1/messages"])
async def test_a_death_in_the_middle_cuts_the_answer(path: str) -> None:
    async with open_door(begin) as opened:
        client = await opened.asking(path, {**MESSAGE, "stream": True})
        assert (await client.head()).status_code == 200
        await opened.die()
        with pytest.raises(h11.RemoteProtocolError):
            await client.rest()
        assert opened.deaths.deaths("anna") == 1


async def begin(asked: Asked) -> None:
    await asked.begin(chat_chunk("hel"))
    await asked.call.hung_up()


async def test_what_a_death_cut_off_goes_before_what_is_new() -> None:
    async with open_door(begin, slots=2) as opened:
        cut_off = [await opened.asking(CHATS, STREAM, who) for who in (ANNA, BERT)]
        await opened.die()
        await opened.hang_up(*cut_off)
        running = [await opened.asking(CHATS, {**STREAM, "seed": seed}, OWNER) for seed in range(2)]
        await opened.asking(CHATS, {**STREAM, "seed": 7}, Caller("carl", False))
        await opened.asking("/resume", resume(), kind=StreamKind.RESUME)
        await opened.hang_up(running[0])
        assert opened.engine.asked[2].body["messages"][-1]["role"] == "assistant", "it is taken up"
        assert len(opened.engine.asked) == 3


# --- answers taken up


def resume(**more: Any) -> bytes:
    fields: dict[str, Any] = {
        "path": CHATS,
        "body": {**HELLO, "stream": True},
        "tokens": None,
        "text": SaidText("", "hel", 1),
        "how": "fast",
    }
    return encode_resume_request(ResumeRequest(**{**fields, **more}))


async def take_up(asked: Asked) -> None:
    if asked.body.get("stream"):
        await asked.begin()
        await asked.end(*chat_stream("lo"))
    else:
        await asked.answer(chat("lo"))


async def test_an_answer_is_taken_up_on_a_slot_of_its_own() -> None:
    async with open_door(take_up) as opened:
        status, _, content = await opened.ask("/resume", resume(), kind=StreamKind.RESUME)
        assert (status, content.startswith(b"event: continued")) == (200, True), content
        assert opened.engine.asked[-1].body["id_slot"] == 0
        assert opened.account().generated_tokens == 3


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHATS, resume(), 404),
        ("/resume", None, 404),
        ("/resume", b"[", 400),
        ("/resume", resume(body={**HELLO, "id_slot": 1}), 400),
        ("/resume", resume(body={**HELLO, "n": 2}), 400),
        ("/resume", resume(body={"messages": 3}), 400),
    ],
)
async def test_what_cannot_be_taken_up_is_refused(path: str, body: Any, status: int) -> None:
    async with open_door(nobody) as opened:
        assert (await opened.ask(path, body, kind=StreamKind.RESUME))[0] == status


@pytest.mark.parametrize("text", ["\ud800", "\0", "</think>" * 1000])
async def test_whatever_is_said_to_have_been_said_is_no_trouble(text: str) -> None:
    async with open_door(take_up) as opened:
        said = resume(text=SaidText(text, text, 1))
        assert (await opened.ask("/resume", said, kind=StreamKind.RESUME))[0] in (200, 400, 409)


async def test_whoever_has_an_answer_taken_up_and_hangs_up_pays_for_it() -> None:
    async with open_door(begin) as opened:
        await opened.hang_up(await opened.asking("/resume", resume(), kind=StreamKind.RESUME))
        assert opened.account().generated_tokens == 1

"""An order is performed: what llama-server gets, and what its client."""

import json
from typing import Any

import h11
import pytest
import trio

from mesh.gateway.resuming.dialects import parse_event
from mesh.gateway.sse import EventSplitter
from mesh.serving.asking import order_run
from mesh.serving.asking.order_run import MAX_LARGE, MAX_SLOTLESS, with_slot
from tests.mesh.serving.asking.scripted_engine import (
    ANNA,
    BERT,
    USAGE,
    Asked,
    chat_chunk,
    chat_stream,
    hold,
    open_door,
    say_hello,
    settle,
)

HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}
STREAM = {**HELLO, "stream": True}
CHATS = "/v1/chat/completions"


def events_of(content: bytes) -> list[Any]:
    """The objects of a stream's events."""
    return [value for event in EventSplitter().feed(content) if (value := _object_of(event)) is not None]


def _object_of(event: bytes) -> Any:
    return parse_event(event[event.index(b"data:") :])


# --- an answer as llama-server gives it


async def test_an_answer_is_passed_on_byte_by_byte_and_its_tokens_are_counted() -> None:
    said = b'{"odd"  :  "\\u00e9", "usage": {"completion_tokens": 3, "prompt_tokens": 7}}'

    async def answer(asked: Asked) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nserver: llama\r\ncontent-length: %d\r\n\r\n"
        for byte in head % len(said) + said:
            await asked.call.send(bytes([byte]))

    async with open_door(answer) as opened:
        status, headers, content = await opened.ask(CHATS, {**HELLO, "metadata": {}, "a\r\nb": 1})
        assert (status, content, headers["content-type"]) == (200, said, "a/b")
        assert (headers["x-mesh-dropped"], "server" in headers) == ("metadata, a??b", False)
        await settle()
        account = opened.account()
        assert (account.prompt_tokens, account.generated_tokens) == (7, 3)
        assert account.bytes_out == len(said)


async def test_what_llama_server_refuses_is_passed_on_as_it_is() -> None:
    async with open_door(refuse) as opened:
        status, _, content = await opened.ask(CHATS, STREAM)
        assert (status, json.loads(content)["error"]["type"]) == (400, "exceed_context_size_error")


async def refuse(asked: Asked) -> None:
    error = {"code": 400, "type": "exceed_context_size_error", "message": "too long"}
    await asked.answer({"error": error}, 400)


async def test_an_answer_that_breaks_off_reaches_no_proper_end() -> None:
    async def break_off(asked: Asked) -> None:
        await asked.begin(chat_chunk("hel"))

    async with open_door(break_off) as opened:
        opened.engine.has_ended.set()
        client = await opened.asking(CHATS, STREAM)
        assert (await client.head()).status_code == 200
        with pytest.raises(h11.RemoteProtocolError):
            await client.rest()


async def test_whoever_hangs_up_pays_for_what_was_computed() -> None:
    async def say_some(asked: Asked) -> None:
        await asked.begin(*[chat_chunk("a")] * 5)
        await asked.call.hung_up()

    async with open_door(say_some) as opened:
        long = [{"role": "user", "content": "word " * 1000}]
        await opened.hang_up(await opened.asking(CHATS, {**STREAM, "messages": long}))
        assert opened.account().generated_tokens == 5
        assert 500 < opened.account().prompt_tokens < 2000


# --- slots


async def test_the_slot_and_what_it_may_reuse_are_added() -> None:
    async with open_door(say_hello) as opened:
        for who in (ANNA, ANNA, BERT, BERT, ANNA):
            await opened.ask(CHATS, HELLO, who)
        bodies = [asked.body for asked in opened.engine.asked]
        assert [body["id_slot"] for body in bodies] == [0] * 5
        assert [body.get("cache_prompt", True) for body in bodies] == [False, True, False, True, False]


async def test_no_answer_of_several_is_computed_on_what_is_anothers() -> None:
    async with open_door(say_hello, slots=2) as opened:
        await opened.ask(CHATS, {**HELLO, "n": 2})
        await opened.ask(CHATS, {**HELLO, "n": 2}, BERT)
        assert [asked.body["cache_prompt"] for asked in opened.engine.asked] == [False] * 4


@pytest.mark.parametrize("body", [b"{}", b'{"a":1}', b'{"cache_prompt":true}'])
@pytest.mark.parametrize("reuse", [True, False])
def test_with_its_slot_a_body_is_json_still(body: bytes, reuse: bool) -> None:
    fields = json.loads(body) | {"id_slot": 3} | ({} if reuse else {"cache_prompt": False})
    assert json.loads(with_slot(body, 3, reuse)) == fields


async def test_few_at_a_time_are_tokenized_and_each_domain_has_its_turn() -> None:
    async with open_door(hold) as opened:
        clients = [await opened.asking("/tokenize", {"content": "a"}) for _ in range(MAX_SLOTLESS + 2)]
        for content in ("b", "c"):
            await opened.asking("/tokenize", {"content": content}, BERT)
        assert len(opened.engine.asked) == MAX_SLOTLESS
        assert opened.engine.asked[-1].body["content"] == "b", "one place was kept for others"
        await opened.hang_up(clients[0])
        assert opened.engine.asked[-1].body["content"] == "c"


async def test_who_hangs_up_is_in_the_way_of_itself_until_llama_server_is_done() -> None:
    done = trio.Event()

    async def read_to_the_end(asked: Asked) -> None:
        await done.wait()

    async with open_door(read_to_the_end) as opened:
        for _ in range(3 * MAX_SLOTLESS):
            await opened.hang_up(await opened.asking("/tokenize", {"content": "a"}))
        assert len(opened.engine.asked) == MAX_SLOTLESS - 1
        done.set()


async def test_a_client_that_reads_nothing_keeps_nobody_from_tokenizing() -> None:
    async def answer(asked: Asked) -> None:
        await asked.answer({"tokens": [1] * (4_000_000 if asked.body["content"] == "a" else 1)})

    async with open_door(answer) as opened:
        for _ in range(MAX_SLOTLESS):
            await opened.asking("/tokenize", {"content": "a"})
        assert (await opened.ask("/tokenize", {"content": "b"}, BERT))[2] == b'{"tokens": [1]}'


async def test_few_large_requests_are_read_at_a_time_also_of_who_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order_run, "LARGE", 1)
    done = trio.Event()

    async def read_to_the_end(asked: Asked) -> None:
        await done.wait()

    async with open_door(read_to_the_end, slots=4) as opened:
        for path, body in 2 * ((CHATS, HELLO), ("/tokenize", {"content": "a"})):
            await opened.hang_up(await opened.asking(path, body))
        assert len(opened.engine.asked) == MAX_LARGE
        done.set()


async def test_few_large_requests_are_read_at_a_time_but_none_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order_run, "LARGE", 1)
    monkeypatch.setattr(order_run, "LARGE_SECONDS", 0.1)
    may_answer = trio.Event()

    async def read(asked: Asked) -> None:
        await may_answer.wait()
        await say_hello(asked)

    async with open_door(read, slots=MAX_LARGE + 1) as opened:
        clients = [await opened.asking(CHATS, HELLO) for _ in range(MAX_LARGE + 1)]
        assert (opened.engine.turns.busy, len(opened.engine.asked)) == (MAX_LARGE + 1, MAX_LARGE)
        await trio.sleep(0.2)
        assert len(opened.engine.asked) == MAX_LARGE + 1
        may_answer.set()
        assert [(await client.answer())[0] for client in clients] == [200] * len(clients)


# --- several answers as one


async def test_several_answers_are_told_as_choices_of_one() -> None:
    async with open_door(say_hello, slots=2) as opened:
        status, headers, content = await opened.ask(CHATS, {**HELLO, "n": 2, "seed": 5, "user": "u"})
        value = json.loads(content)
        assert (status, [choice["index"] for choice in value["choices"]]) == (200, [0, 1])
        assert value["usage"]["completion_tokens"] == 6
        assert headers["x-mesh-dropped"] == "user"
        assert sorted(asked.body["seed"] for asked in opened.engine.asked) == [5, 6]
        assert opened.account().generated_tokens == 6


async def test_several_prompts_are_told_as_llama_servers_own_list() -> None:
    async with open_door(say_hello) as opened:
        _, _, content = await opened.ask("/completion", {"prompt": ["a", "b"]})
        assert [one["index"] for one in json.loads(content)] == [0, 1]
        assert sorted(asked.body["prompt"] for asked in opened.engine.asked) == ["a", "b"]


async def test_several_streams_are_told_as_one() -> None:
    async with open_door(say_hello, slots=2) as opened:
        body = {**STREAM, "n": 2, "stream_options": {"include_usage": True}}
        status, headers, content = await opened.ask(CHATS, body)
        events = events_of(content)
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert content.endswith(b"data: [DONE]\n\n")
        for index in (0, 1):
            said = [event["choices"][0] for event in events[:-1] if event["choices"][0]["index"] == index]
            assert (said[0]["delta"], said[-1]["finish_reason"]) == ({"content": "hello"}, "stop")
        assert events[-1]["usage"]["completion_tokens"] == 6


async def test_several_streams_to_a_slow_client_arrive_whole() -> None:
    async def say_much(asked: Asked) -> None:
        await asked.begin(*[chat_chunk("a" * 10_000)] * 50)
        await asked.end(*chat_stream("end"))

    async with open_door(say_much, slots=2) as opened:
        client = await opened.asking(CHATS, {**STREAM, "n": 2})
        _, _, content = await client.answer()
        said = [event["choices"][0]["delta"].get("content", "") for event in events_of(content)]
        assert len("".join(said)) == 2 * (500_000 + 3)
        assert content.endswith(b"data: [DONE]\n\n")


async def test_one_of_several_that_fails_ends_all_with_an_error_that_can_be_read() -> None:
    first_has_begun = trio.Event()

    async def fail_second(asked: Asked) -> None:
        if asked.body["seed"] == 5:
            await asked.begin(chat_chunk("a"))
            first_has_begun.set()
            await asked.go_on(*[chat_chunk("a" * 10_000)] * 100)
        else:
            await first_has_begun.wait()
            await refuse(asked)

    async with open_door(fail_second, slots=2) as opened:
        client = await opened.asking(CHATS, {**STREAM, "n": 2, "seed": 5})
        _, _, content = await client.answer()
        assert events_of(content)[-1]["error"]["message"] == "too long"


async def test_answers_too_large_to_be_told_whole_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_run, "MAX_WHOLE", 1000)
    async with open_door(say_hello, slots=4) as opened:
        assert (await opened.ask(CHATS, {**HELLO, "n": 2}))[0] == 200
        status, _, content = await opened.ask(CHATS, {**HELLO, "n": 4})
        assert (status, json.loads(content)["error"]["code"]) == (400, "too_large")


# --- other dialects


async def test_a_message_is_a_chat_in_other_words() -> None:
    async with open_door(say_hello) as opened:
        status, _, content = await opened.ask("/v1/messages", HELLO)
        value = json.loads(content)
        assert (status, value["type"], value["content"][0]["text"]) == (200, "message", "hello")
        assert opened.engine.asked[0].path == CHATS
        assert opened.account().generated_tokens == USAGE["completion_tokens"]


async def test_a_response_is_a_chat_in_other_words() -> None:
    async with open_door(say_hello) as opened:
        status, _, content = await opened.ask("/v1/responses", {"input": "Hello"})
        value = json.loads(content)
        assert (status, value["object"], value["status"]) == (200, "response", "completed")
        assert value["output"][0]["content"][0]["text"] == "hello"


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        ("/v1/messages", STREAM, "message_stop"),
        ("/v1/responses", {"input": "Hello", "stream": True}, "response.completed"),
    ],
)
async def test_their_streams_end_as_their_clients_expect(path: str, body: dict[str, Any], last: str) -> None:
    async with open_door(say_hello) as opened:
        status, _, content = await opened.ask(path, body)
        assert (status, events_of(content)[-1]["type"]) == (200, last)
        assert opened.account().prompt_tokens == USAGE["prompt_tokens"]
        assert (await opened.ask(path, body))[0] == 200
        assert "cache_prompt" not in opened.engine.asked[1].body, "the slot is known to be theirs"


@pytest.mark.parametrize("streams", [True, False])
async def test_what_llama_server_refuses_is_told_in_their_words(streams: bool) -> None:
    async with open_door(refuse) as opened:
        status, _, content = await opened.ask("/v1/messages", {**HELLO, "stream": streams})
        error = {"type": "invalid_request_error", "message": "too long"}
        assert (status, json.loads(content)) == (400, {"type": "error", "error": error})
        status, _, content = await opened.ask("/v1/responses", {"input": "Hello", "stream": streams})
        assert (status, json.loads(content)["error"]["message"]) == (400, "too long")


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/messages", STREAM), ("/v1/responses", {"input": "Hello", "stream": True})]
)
async def test_an_error_in_the_middle_is_their_last_event(path: str, body: dict[str, Any]) -> None:
    async def fail(asked: Asked) -> None:
        await asked.begin(chat_chunk("hel"))
        await asked.end({"error": {"code": 500, "type": "server_error", "message": "no memory"}})

    async with open_door(fail) as opened:
        status, _, content = await opened.ask(path, body)
        assert (status, content.count(b"event: error\n")) == (200, 1)
        assert "no memory" in json.dumps(events_of(content)[-1])


async def test_a_stream_that_stops_without_its_last_event_was_cut_off() -> None:
    async def stop(asked: Asked) -> None:
        await asked.begin()
        await asked.end(chat_chunk("hel"))

    async with open_door(stop) as opened:
        opened.engine.has_ended.set()
        client = await opened.asking("/v1/messages", STREAM)
        assert (await client.head()).status_code == 200
        with pytest.raises(h11.RemoteProtocolError):
            await client.rest()


@pytest.mark.parametrize("said", [b"no JSON", b"[]", b"3", b"[" * 100_000])
@pytest.mark.parametrize("path", ["/v1/messages", CHATS])
async def test_an_answer_that_makes_no_sense_is_as_good_as_none(said: bytes, path: str) -> None:
    async def answer(asked: Asked) -> None:
        await asked.call.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)

    async with open_door(answer, slots=2) as opened:
        opened.engine.has_ended.set()
        body = {**HELLO, "n": 2} if path == CHATS else HELLO
        assert (await opened.ask(path, body))[0] == 503


async def test_tokens_of_a_message_are_counted_without_a_slot() -> None:
    async def count(asked: Asked) -> None:
        await asked.answer({"input_tokens": 12})

    async with open_door(count) as opened:
        status, _, content = await opened.ask("/v1/messages/count_tokens", HELLO)
        assert (status, json.loads(content)) == (200, {"input_tokens": 12})
        assert "id_slot" not in opened.engine.asked[0].body

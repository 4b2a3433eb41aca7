"""Anthropic's own client reads what the door makes of a chat completion."""

import json
from typing import Any

import pytest
from anthropic import APIStatusError
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from pydantic import TypeAdapter

from leader.door.writers.messages_writer import MessagesWriter, count_of
from tests.leader.door.writers.chat_streams import (
    CALL,
    MORE,
    SECOND,
    USAGE,
    anthropic_client,
    any_deltas,
    chat_stream,
    delta,
    events,
    said_in,
    told,
)

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
ASKED: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}


def message_of(raw: bytes) -> Message:
    """What Anthropic's client puts together."""
    with anthropic_client(raw) as client, client.messages.stream(**ASKED) as stream:
        return stream.get_final_message()


def said(raw: bytes) -> list[Any]:
    return [block.model_dump(exclude_none=True) for block in message_of(raw).content]


STREAMS = {
    "text": chat_stream({"content": "he"}, {"content": "llo"}),
    "thoughts": chat_stream({"reasoning_content": "hm"}, {"content": "yes"}),
    "calls": chat_stream(
        {"content": "see"},
        {"tool_calls": [CALL]},
        {"tool_calls": [MORE]},
        {"tool_calls": [SECOND]},
        finish="tool_calls",
    ),
    "nothing": chat_stream(),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_every_event_has_all_fields_that_the_client_knows(stream: list[dict[str, Any]]) -> None:
    for name, data in events(told(MessagesWriter({}), stream)):
        assert name == data["type"]
        if name != "ping":
            EVENT.validate_python(data)


def test_text_comes_as_one_block() -> None:
    raw = told(MessagesWriter({}), STREAMS["text"])
    message = message_of(raw)
    assert (message.id, message.model, message.stop_reason) == ("msg_7Xy", "m", "end_turn")
    assert said(raw) == [{"type": "text", "text": "hello"}]


def test_thoughts_come_before_the_text_and_end_with_a_signature() -> None:
    raw = told(MessagesWriter({}), STREAMS["thoughts"])
    assert said(raw) == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "yes"},
    ]
    assert b'"signature_delta"' in raw


def test_each_call_is_a_block_whose_input_comes_in_parts() -> None:
    raw = told(MessagesWriter({}), STREAMS["calls"])
    assert message_of(raw).stop_reason == "tool_use"
    assert said(raw) == [
        {"type": "text", "text": "see"},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"x": "é"}},
        {"type": "tool_use", "id": "c2", "name": "listen", "input": {}},
    ]


@given(any_deltas())
def test_nothing_is_lost_and_no_two_blocks_are_open_at_once(deltas: list[dict[str, Any]]) -> None:
    told_of = {"text": "", "thinking": "", "partial_json": ""}
    open_block, blocks = None, 0
    for name, data in events(told(MessagesWriter({}), chat_stream(*deltas))):
        if name == "content_block_start":
            assert (open_block, data["index"]) == (None, blocks)
            open_block, blocks = blocks, blocks + 1
        elif name in ("content_block_delta", "content_block_stop"):
            assert data["index"] == open_block
            open_block = None if name == "content_block_stop" else open_block
            for part in told_of:
                told_of[part] += data.get("delta", {}).get(part, "")
    assert open_block is None
    names = ("content", "reasoning_content", "arguments")
    assert list(told_of.values()) == [said_in(deltas, name) for name in names]


def test_the_usage_is_known_at_the_beginning_and_told_at_the_end() -> None:
    [(first, begun), *_, (before, delta_event), (last, _)] = events(told(MessagesWriter({}), STREAMS["text"]))
    assert (first, before, last) == ("message_start", "message_delta", "message_stop")
    cached = {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
    assert begun["message"]["usage"] == {"input_tokens": 8, "output_tokens": 0, **cached}
    assert delta_event["usage"] == {"input_tokens": 8, "output_tokens": 5, **cached}


def test_a_prompt_that_takes_long_says_that_it_is_alive() -> None:
    assert [name for name, _ in events(told(MessagesWriter({}), STREAMS["text"]))][:2] == [
        "message_start",
        "ping",
    ]


@pytest.mark.parametrize(
    ("finish", "word", "reason"),
    [
        ("length", "", ("max_tokens", None)),
        ("stop", "END", ("stop_sequence", "END")),
        ("stop", "<|im_end|>", ("end_turn", None)),
        ("stop", "", ("end_turn", None)),
    ],
)
def test_why_it_stopped_is_told(finish: str, word: str, reason: tuple[str, str | None]) -> None:
    writer = MessagesWriter({"stop_sequences": ["END"]})
    chunks = chat_stream({"content": "a"})
    chunks[-2] = {**delta(finish=finish), "__verbose": {"stopping_word": word, "prompt": "secret"}}
    raw = told(writer, chunks)
    message = message_of(raw)
    assert (message.stop_reason, message.stop_sequence) == reason
    assert b"secret" not in raw


def test_a_whole_message_is_what_its_stream_would_have_been() -> None:
    calls = [{**CALL, "function": {"name": "look", "arguments": '{"x":"é"}'}}, SECOND]
    message = {"role": "assistant", "content": "see", "reasoning_content": "hm", "tool_calls": calls}
    answer = {
        "id": "chatcmpl-7Xy",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": USAGE,
    }
    whole = MessagesWriter({}).whole([answer])
    streamed = told(
        MessagesWriter({}),
        chat_stream(
            {"reasoning_content": "hm"},
            {"content": "see"},
            *({"tool_calls": [call]} for call in calls),
            finish="tool_calls",
        ),
    )
    read = Message.model_validate(whole)
    assert read.model_dump() == Message.model_validate(message_of(streamed).model_dump()).model_dump()


def test_a_call_that_was_cut_short_has_no_input_and_no_error() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    answer = {"id": "1", "choices": [{"message": message, "finish_reason": "length"}]}
    whole = MessagesWriter({}).whole([answer])
    assert (whole["content"][0]["input"], whole["stop_reason"]) == ({}, "max_tokens")


def test_an_error_amid_the_stream_is_raised_by_the_client_and_ends_all() -> None:
    writer = MessagesWriter({})
    raw = b"".join(writer.event(0, chunk) for chunk in STREAMS["text"][:4])
    raw += writer.event(0, {"error": {"code": 500, "message": "out of memory", "type": "server_error"}})
    assert writer.event(0, delta(content="late")) + writer.ended(0) + writer.end() == b""
    with pytest.raises(APIStatusError, match="out of memory"):
        message_of(raw)


def test_a_stream_without_a_finish_is_no_whole_answer() -> None:
    raw = told(MessagesWriter({}), STREAMS["text"][:4])
    with pytest.raises(APIStatusError, match="broke off"):
        message_of(raw)


def test_a_count_says_only_the_number() -> None:
    assert count_of({"input_tokens": 7, "object": "response.input_tokens"}) == {"input_tokens": 7}
    assert json.dumps(count_of({})) == '{"input_tokens": 0}'

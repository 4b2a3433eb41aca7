"""OpenAI's own client reads what the door makes of a chat completion."""

from typing import Any

import pytest
from hypothesis import given
from openai import APIError
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from leader.door.dialects.openai_responses import to_chat
from leader.door.writers.responses_writer import ResponsesWriter
from tests.leader.door.writers.chat_streams import (
    CALL,
    MORE,
    SECOND,
    USAGE,
    any_deltas,
    chat_stream,
    delta,
    events,
    openai_client,
    said_in,
    told,
)

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
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
    "too long": chat_stream({"content": "and"}, finish="length"),
    "nothing": chat_stream(),
}


def writer(**body: Any) -> ResponsesWriter:
    return ResponsesWriter(to_chat({"input": "?", **body})[1])


def final(raw: bytes) -> Response:
    """What OpenAI's client puts together, reading to the end."""
    with openai_client(raw) as client, client.responses.stream(model="m", input="?") as stream:
        return Response.model_validate(stream.get_final_response().to_dict())


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_every_event_has_all_fields_that_the_client_knows(stream: list[dict[str, Any]]) -> None:
    found = events(told(writer(), stream))
    for number, (name, data) in enumerate(found):
        assert (name, number) == (data["type"], data["sequence_number"])
        EVENT.validate_python(data)
    assert [name for name, _ in found[:2]] == ["response.created", "response.in_progress"]


@given(any_deltas())
def test_nothing_is_lost_and_the_last_event_has_it_all(deltas: list[dict[str, Any]]) -> None:
    found = events(told(writer(), chat_stream(*deltas)))
    output = found[-1][1]["response"]["output"]
    assert output == [data["item"] for name, data in found if name == "response.output_item.done"]
    assert len({item["id"] for item in output}) == len(output)
    for kind, name in (("message", "content"), ("reasoning", "reasoning_content")):
        parts = [part["text"] for item in output if item["type"] == kind for part in item["content"]]
        assert "".join(parts) == said_in(deltas, name)
    calls = [item["arguments"] for item in output if item["type"] == "function_call"]
    assert "".join(calls) == said_in(deltas, "arguments")


def test_text_comes_as_a_message() -> None:
    response = final(told(writer(), STREAMS["text"]))
    assert (response.id, response.status, response.output_text) == ("resp_7Xy", "completed", "hello")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (12, 5)
    assert response.usage.input_tokens_details.cached_tokens == 4


def test_what_was_said_in_parts_is_said_whole_at_the_end_of_each_item() -> None:
    done = dict(events(told(writer(), STREAMS["calls"])))
    assert done["response.output_text.done"]["text"] == "see"
    assert done["response.function_call_arguments.done"]["arguments"] == "{}"
    assert [item["type"] for item in done["response.completed"]["response"]["output"]] == [
        "message",
        "function_call",
        "function_call",
    ]


def test_calls_come_with_the_ids_of_the_chat() -> None:
    response = final(told(writer(), STREAMS["calls"]))
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("c1", "look", '{"x":"é"}'),
        ("c2", "listen", "{}"),
    ]
    assert len({item.id for item in response.output}) == 3


def test_thoughts_are_an_item_of_their_own() -> None:
    response = final(told(writer(), STREAMS["thoughts"]))
    first = response.output[0]
    assert first.type == "reasoning"
    assert [part.text for part in first.content or ()] == ["hm"]


def test_an_answer_that_reached_its_limit_is_incomplete() -> None:
    name, last = events(told(writer(), STREAMS["too long"]))[-1]
    assert name == "response.incomplete"
    response = Response.model_validate(last["response"])
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_a_whole_response_is_what_its_stream_would_have_been() -> None:
    calls = [{**CALL, "function": {"name": "look", "arguments": '{"x":"é"}'}}, SECOND]
    message = {"role": "assistant", "content": "see", "reasoning_content": "hm", "tool_calls": calls}
    answer = {
        "id": "chatcmpl-7Xy",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": USAGE,
    }
    whole = writer().whole([answer])
    Response.model_validate(whole)
    stream = chat_stream(
        {"reasoning_content": "hm"},
        {"content": "see"},
        *({"tool_calls": [call]} for call in calls),
        finish="tool_calls",
    )
    assert events(told(writer(), stream))[-1][1]["response"] == whole


def test_the_response_repeats_what_was_asked() -> None:
    asked: dict[str, Any] = {
        "instructions": "be brief",
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        "tool_choice": {"type": "function", "name": "f"},
    }
    whole = writer(**asked).whole([{"id": "1", "choices": []}])
    assert {name: whole[name] for name in asked} == asked
    Response.model_validate(whole)


def test_what_is_too_long_to_be_told_three_times_is_not_repeated() -> None:
    whole = writer(instructions="x" * 20_000).whole([{"id": "1", "choices": []}])
    assert whole["instructions"] is None


def test_an_error_amid_the_stream_is_raised_by_the_client_and_ends_all() -> None:
    telling = writer()
    raw = b"".join(telling.event(0, chunk) for chunk in STREAMS["text"][:4])
    raw += telling.event(0, {"error": {"code": 500, "message": "out of memory", "type": "server_error"}})
    assert telling.event(0, delta(content="late")) + telling.ended(0) + telling.end() == b""
    with pytest.raises(APIError, match="out of memory"):
        final(raw)
    name, last = events(raw)[-1]
    assert name == "error"
    EVENT.validate_python(last)
    assert last["sequence_number"] == len(events(raw)) - 1


def test_a_stream_without_a_finish_is_no_whole_answer() -> None:
    with pytest.raises(APIError, match="broke off"):
        final(told(writer(), STREAMS["text"][:4]))

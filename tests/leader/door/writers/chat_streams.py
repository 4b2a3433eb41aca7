"""Streams of chat completions as llama-server gives them, and clients that read what became of them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import httpx2
from anthropic import Anthropic
from hypothesis import strategies as st
from openai import OpenAI

from leader.door.writers.answer_writers import AnswerWriter

USAGE = {
    "completion_tokens": 5,
    "prompt_tokens": 12,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":'}}
MORE = {"index": 0, "function": {"arguments": '"é"}'}}
SECOND = {"index": 1, "id": "c2", "type": "function", "function": {"name": "listen", "arguments": "{}"}}


_TEXTS = st.text(min_size=1, max_size=4)
_KINDS = st.sampled_from(("reasoning_content", "content", "call", "more"))


@st.composite
def any_deltas(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What a model may say, in any order: thoughts, text, and one call after the other."""
    deltas: list[dict[str, Any]] = []
    calls = -1
    for kind in draw(st.lists(_KINDS, max_size=12)):
        if kind == "call":
            calls += 1
            function = {"name": "f", "arguments": ""}
            call = {"index": calls, "id": f"c{calls}", "type": "function", "function": function}
            deltas.append({"tool_calls": [call]})
        elif kind != "more":
            deltas.append({kind: draw(_TEXTS)})
        elif deltas and "tool_calls" in deltas[-1]:
            deltas.append({"tool_calls": [{"index": calls, "function": {"arguments": draw(_TEXTS)}}]})
    return deltas


def said_in(deltas: Iterable[Mapping[str, Any]], name: str) -> str:
    """All that is said under this name, or as arguments of calls."""
    if name != "arguments":
        return "".join(said.get(name, "") for said in deltas)
    calls = (call for said in deltas for call in said.get("tool_calls", ()))
    return "".join(call["function"]["arguments"] for call in calls)


def chat_chunk(**fields: Any) -> dict[str, Any]:
    """One chunk with these fields, besides those that all have."""
    common = {"id": "chatcmpl-7Xy", "created": 1700000000, "model": "m", "object": "chat.completion.chunk"}
    return {**common, "choices": [], **fields}


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    """A chunk that says this."""
    return chat_chunk(choices=[{"index": 0, "delta": said, "finish_reason": finish}])


def chat_stream(*deltas: Mapping[str, Any], finish: str = "stop") -> list[dict[str, Any]]:
    """A whole stream: progress, role, these deltas, the finish, and usage."""
    begin = chat_chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": None}}])
    progress = {"total": 12, "cache": 4, "processed": 4, "time_ms": 1}
    return [
        {**begin, "prompt_progress": progress},
        {**begin, "prompt_progress": {**progress, "processed": 12}},
        begin,
        *(delta(**said) for said in deltas),
        delta(finish=finish),
        chat_chunk(usage=USAGE),
    ]


def told(writer: AnswerWriter, chunks: Iterable[Mapping[str, Any]]) -> bytes:
    """All that a writer says of one stream."""
    return b"".join(writer.event(0, chunk) for chunk in chunks) + writer.ended(0) + writer.end()


def events(raw: bytes) -> list[tuple[str | None, Any]]:
    """The names and the data of server-sent events."""
    found = []
    for event in raw.decode().removesuffix("\n\n").split("\n\n"):
        lines = event.split("\n")
        name = lines[0].removeprefix("event: ") if lines[0].startswith("event: ") else None
        data = lines[-1].removeprefix("data: ")
        found.append((name, data if data == "[DONE]" else json.loads(data)))
    return found


def anthropic_client(raw: bytes) -> Anthropic:
    """A client of Anthropic's whose every request is answered by this stream."""
    head = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=head, content=raw))
    return Anthropic(api_key="-", max_retries=0, http_client=httpx2.Client(transport=transport))


def openai_client(raw: bytes) -> OpenAI:
    """A client of OpenAI's whose every request is answered by this stream."""
    head = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=head, content=raw))
    return OpenAI(
        api_key="-", base_url="http://m/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )

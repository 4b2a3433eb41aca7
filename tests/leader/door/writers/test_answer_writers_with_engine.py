"""Messages and responses by way of a real llama-server's chat completions, beside its own translations."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types.responses import Response

from leader.door.dialects import anthropic_messages, openai_responses
from leader.door.writers.answer_writers import AnswerWriter
from leader.door.writers.merged_answers import ChoicesWriter
from leader.door.writers.messages_writer import MessagesWriter
from leader.door.writers.responses_writer import ResponsesWriter
from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.leader.door.writers.chat_streams import anthropic_client, events, openai_client
from tests.mesh.gateway.mortal import mortal_gateway

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "What holds this model together?"}
MESSAGES: dict[str, Any] = {"messages": [USER], "system": "be brief", "max_tokens": 24, "temperature": 0}
TOOL = {"name": "look", "description": "sees", "input_schema": {"type": "object", "properties": {}}}
THINKING = """{% for message in messages -%}
{{ '<|' + message['role'] + '|>\\n' + (message['content'] or '') + '<|end|>\\n' }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<|assistant|>\\n<think>' }}{% endif %}"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = spec_of_size(12_000_000, ModelSpec(layers=4))
    return generate(tmp_path_factory.mktemp("model") / "model.gguf", spec)[0]


@pytest.fixture(params=["plain", "thinking"])
async def http(
    request: pytest.FixtureRequest, engine: Engine, model: Path, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of llama-server, whose model thinks aloud or not."""
    options: tuple[str, ...] = ()
    if request.param == "thinking":
        (tmp_path / "thinking.jinja").write_text(THINKING)
        options = ("--jinja", "--chat-template-file", str(tmp_path / "thinking.jinja"))
    async with (
        mortal_gateway(engine, model, tmp_path, *options) as (_, url),
        httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=60, headers={"x-mesh-resume": "off"}
        ) as client,
    ):
        yield client


async def streamed(http: httpx.AsyncClient, chat: dict[str, Any], writer: AnswerWriter) -> bytes:
    """What the writer makes of the chat's stream."""
    answer = await http.post(CHAT, json={**chat, "stream": True})
    assert answer.status_code == 200, answer.text
    chunks = [data for _, data in events(answer.content) if data != "[DONE]"]
    return b"".join(writer.event(0, chunk) for chunk in chunks) + writer.ended(0) + writer.end()


async def whole(http: httpx.AsyncClient, chat: dict[str, Any], writer: AnswerWriter) -> Any:
    answer = await http.post(CHAT, json=chat)
    assert answer.status_code == 200, answer.text
    return writer.whole([answer.json()])


def message(raw: bytes) -> Any:
    with (
        anthropic_client(raw) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[]) as stream,
    ):
        return stream.get_final_message().to_dict()


def steady(told: Any) -> Any:
    """An answer without what differs from one request to the next."""
    return [
        {name: value for name, value in block.items() if name not in ("id", "signature")}
        for block in told["content"]
    ]


@pytest.mark.parametrize("more", [{}, {"tools": [TOOL]}, {"stop_sequences": ["never said"]}])
async def test_a_message_is_what_llama_servers_own_translation_says(
    http: httpx.AsyncClient, more: dict[str, Any]
) -> None:
    asked = {**MESSAGES, **more}
    own = (await http.post("/v1/messages", json=asked)).json()
    chat, repeats = anthropic_messages.to_chat({**asked, "stream": True})
    ours = message(await streamed(http, chat, MessagesWriter(repeats)))
    chat, repeats = anthropic_messages.to_chat(asked)
    at_once = await whole(http, chat, MessagesWriter(repeats))
    assert steady(ours) == steady(at_once) == steady(own)
    for told in (ours, at_once):
        assert told["stop_reason"] == own["stop_reason"] == "max_tokens"
        usage = told["usage"]
        assert usage["output_tokens"] == own["usage"]["output_tokens"]
        assert _prompt(usage) == _prompt(own["usage"])


def _prompt(usage: dict[str, int]) -> int:
    return usage["input_tokens"] + usage["cache_read_input_tokens"]


@pytest.mark.parametrize("http", ["plain"], indirect=True)
async def test_a_stop_sequence_is_told_as_why_it_stopped(http: httpx.AsyncClient) -> None:
    chat, repeats = anthropic_messages.to_chat(MESSAGES)
    text = (await whole(http, chat, MessagesWriter(repeats)))["content"][0]["text"]
    word = text[20:26]
    for streaming in (False, True):
        chat, repeats = anthropic_messages.to_chat(
            {**MESSAGES, "stop_sequences": ["never", word], "stream": streaming}
        )
        writer = MessagesWriter(repeats)
        told = message(await streamed(http, chat, writer)) if streaming else await whole(http, chat, writer)
        assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", word)
        assert told["content"][0]["text"] == text[: text.index(word)]


@pytest.mark.parametrize("http", ["plain"], indirect=True)
async def test_an_answer_that_the_client_began_is_gone_on_with_and_not_repeated(
    http: httpx.AsyncClient,
) -> None:
    chat, repeats = anthropic_messages.to_chat(MESSAGES)
    text = (await whole(http, chat, MessagesWriter(repeats)))["content"][0]["text"]
    begun = text[: text.index(" ", 10)]
    prefilled = {**MESSAGES, "messages": [USER, {"role": "assistant", "content": begun}], "max_tokens": 8}
    chat, repeats = anthropic_messages.to_chat(prefilled)
    more = (await whole(http, chat, MessagesWriter(repeats)))["content"][0]["text"]
    assert more
    assert not more.startswith(begun)
    chat, repeats = anthropic_messages.to_chat({**prefilled, "stream": True})
    assert message(await streamed(http, chat, MessagesWriter(repeats)))["content"][0]["text"] == more


async def test_a_chat_has_as_many_tokens_as_the_message_it_is_made_of(http: httpx.AsyncClient) -> None:
    own = (await http.post("/v1/messages/count_tokens", json=MESSAGES)).json()
    chat, _ = anthropic_messages.to_chat(MESSAGES)
    assert (await http.post(f"{CHAT}/input_tokens", json=chat)).json()["input_tokens"] == own["input_tokens"]


async def test_a_response_is_what_llama_servers_own_translation_says(http: httpx.AsyncClient) -> None:
    asked = {"input": USER["content"], "instructions": "be brief", "max_output_tokens": 24, "temperature": 0}
    own = (await http.post("/v1/responses", json=asked)).json()
    chat, repeats = openai_responses.to_chat({**asked, "stream": True})
    raw = await streamed(http, chat, ResponsesWriter(repeats))
    with openai_client(raw) as client, client.responses.create(model="m", input="?", stream=True) as stream:
        *_, last = stream
    assert last.type == "response.incomplete"
    chat, repeats = openai_responses.to_chat(asked)
    at_once = Response.model_validate(await whole(http, chat, ResponsesWriter(repeats)))
    for told in (last.response, at_once):
        assert [_said(item) for item in told.to_dict()["output"]] == [_said(item) for item in own["output"]]  # type: ignore[attr-defined]
        assert told.usage is not None
        assert (told.usage.input_tokens, told.usage.output_tokens) == (
            own["usage"]["input_tokens"],
            own["usage"]["output_tokens"],
        )


def _said(item: dict[str, Any]) -> tuple[str, list[str]]:
    return item["type"], [part["text"] for part in item["content"]]


@pytest.mark.parametrize("http", ["plain"], indirect=True)
async def test_two_chats_are_two_choices_of_one(http: httpx.AsyncClient) -> None:
    chat = {"messages": [USER], "max_tokens": 9, "temperature": 0}
    answers = [(await http.post(CHAT, json=chat)).json() for _ in range(2)]
    merged = ChoicesWriter(wants_usage=True, one_prompt=True).whole(answers)
    assert [choice["index"] for choice in merged["choices"]] == [0, 1]
    assert merged["usage"]["completion_tokens"] == 18
    assert merged["usage"]["prompt_tokens"] == answers[0]["usage"]["prompt_tokens"]

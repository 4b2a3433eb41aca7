"""Answers of a real llama-server that is killed in the middle of them, and of one that is not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from openai import APIError, OpenAI

from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.mesh.gateway.mortal import Mortal, mortal_gateway

TOKENS = 120
NATIVE, TEXT, CHAT = "/completion", "/v1/completions", "/v1/chat/completions"
PATHS = (NATIVE, TEXT, CHAT)
DONE = "data: [DONE]\n\n"
PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "What holds this model together?"}]


def greedy(path: str, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"messages": MESSAGES} if path == CHAT else {"prompt": PROMPT}
    return {**asked, "max_tokens": TOKENS, "temperature": 0, "cache_prompt": False, **more}


class Asking:
    """A client of the gateway, and the leader behind it."""

    def __init__(self, leader: Mortal, http: httpx.AsyncClient) -> None:
        self.leader = leader
        self.http = http

    async def post(self, path: str, body: dict[str, Any], how: str | None = None) -> httpx.Response:
        headers = {"x-mesh-resume": how} if how else {}
        return await self.http.post(path, json=body, headers=headers)

    async def events(self, path: str, body: dict[str, Any], how: str | None = None) -> list[dict[str, Any]]:
        response = await self.post(path, {**body, "stream": True}, how)
        assert response.status_code == 200
        return events_of(response.text)

    async def prompt(self, path: str) -> list[int]:
        """The ids of what is asked on this path."""
        text = PROMPT
        if path == CHAT:
            text = (await self.post("/apply-template", {"messages": MESSAGES})).json()["prompt"]
        answer = await self.post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        return list(answer.json()["tokens"])


def events_of(raw: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in raw.splitlines() if line.startswith("data: {")]


def text_of(events: list[dict[str, Any]]) -> str:
    text = ""
    for event in events:
        for choice in event.get("choices", [event]):
            said = choice.get("delta") or choice.get("message") or choice
            text += said.get("content") or said.get("text") or ""
    return text


def ids_of(events: list[dict[str, Any]]) -> list[int]:
    return [id for event in events for id in event["tokens"]]


# How much of a prompt another request had computed before counts as such, too.
VOLATILE = frozenset(("created", "id", "timings", "prompt_tokens_details"))


def stable(value: Any) -> Any:
    """The same without what differs from one run of llama-server to the next."""
    if isinstance(value, dict):
        return {key: stable(one) for key, one in value.items() if key not in VOLATILE}
    return [stable(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = spec_of_size(12_000_000, ModelSpec(layers=4))
    return generate(tmp_path_factory.mktemp("model") / "model.gguf", spec)[0]


THINKING = """{% for message in messages -%}
{{ '<|' + message['role'] + '|>\\n' }}
{%- if message['role'] == 'assistant' -%}
{{ '<think>' + (message['reasoning_content'] or '') + '</think>' + message['content'] + '<|end|>\\n' }}
{%- else -%}
{{ message['content'] + '<|end|>\\n' }}
{%- endif -%}
{% endfor -%}
{% if add_generation_prompt %}{{ '<|assistant|>\\n<think>' }}{% endif %}"""


@asynccontextmanager
async def thinking(engine: Engine, model: Path, folder: Path, *arguments: str) -> AsyncIterator[Asking]:
    """The model thinks aloud before it speaks."""
    template = folder / "thinking.jinja"
    template.write_text(THINKING)
    options = ("--jinja", "--chat-template-file", str(template), *arguments)
    async with (
        mortal_gateway(engine, model, folder, *options) as (leader, url),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http,
    ):
        yield Asking(leader, http)


@pytest.fixture
async def asking(engine: Engine, model: Path, tmp_path: Path) -> AsyncIterator[Asking]:
    async with (
        mortal_gateway(engine, model, tmp_path) as (leader, url),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http,
    ):
        yield Asking(leader, http)


@pytest.mark.parametrize("path", PATHS)
async def test_a_replayed_answer_is_the_one_that_nothing_disturbed(asking: Asking, path: str) -> None:
    body = greedy(path, stream_options={"include_usage": True})
    wanted = await asking.events(path, body)
    assert len(wanted) > TOKENS
    for death in (2, 7, 60, *range(TOKENS - 1, len(wanted))):
        asking.leader.deaths, asking.leader.crumbs = [death], death % 20
        events = await asking.events(path, body, "exact")
        assert asking.leader.deaths == []
        assert stable(events) == stable(wanted), f"after {death} events"
        assert len({event["id"] for event in events if "id" in event}) <= 1


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_that_fills_the_context_ends_as_it_would_have(asking: Asking, path: str) -> None:
    body = greedy(path)
    del body["max_tokens"]
    wanted = await asking.events(path, body)
    for death in (len(wanted) - 2, len(wanted) - 1):
        asking.leader.deaths = [death]
        assert stable(await asking.events(path, body, "fast")) == stable(wanted)
        assert asking.leader.deaths == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cut", [10, 90])
async def test_a_quick_continuation_is_that_of_the_very_ids_that_were_there(
    asking: Asking, path: str, cut: int
) -> None:
    bare = await asking.events(NATIVE, greedy(NATIVE, prompt=await asking.prompt(path)))
    asking.leader.deaths = [cut + 1 if path == CHAT else cut]
    text = text_of(await asking.events(path, greedy(path), "fast"))
    rest = greedy(NATIVE, prompt=await asking.prompt(path) + ids_of(bare)[:cut], max_tokens=TOKENS - cut)
    assert text == text_of(bare[:cut]) + text_of(await asking.events(NATIVE, rest))


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_that_is_wanted_whole_survives_too(asking: Asking, path: str) -> None:
    undisturbed = (await asking.post(path, greedy(path), "off")).json()
    for death in (1, 60, TOKENS):
        asking.leader.deaths = [death]
        response = await asking.post(path, greedy(path), "exact")
        assert (response.status_code, asking.leader.deaths) == (200, [])
        assert stable(response.json()) == stable(undisturbed)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "more", [{}, {"stop": ["ri ", "unheard"]}, {"stream_options": {"include_usage": True}}]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_undisturbed_answer_is_that_of_llama_server(
    asking: Asking, path: str, more: dict[str, Any], stream: bool
) -> None:
    body = greedy(path, stream=stream, **more)
    bare, through = await asking.post(path, body, "off"), await asking.post(path, body)
    if stream:
        assert through.text.count("\n\n") == bare.text.count("\n\n")
        assert through.text.endswith(DONE) == bare.text.endswith(DONE)
        assert stable(events_of(through.text)) == stable(events_of(bare.text))
    else:
        assert stable(through.json()) == stable(bare.json())
    assert through.headers.keys() == bare.headers.keys()
    assert through.headers["content-type"] == bare.headers["content-type"]


@pytest.mark.parametrize("path", PATHS)
async def test_text_that_could_have_become_a_stop_string_is_in_a_whole_answer(
    asking: Asking, path: str
) -> None:
    text = text_of([(await asking.post(path, greedy(path, max_tokens=40), "off")).json()])
    body = greedy(path, max_tokens=40, stop=[text[-6:] + "unheard"])
    bare = (await asking.post(path, body, "off")).json()
    assert text_of([bare]) == text
    assert stable((await asking.post(path, body)).json()) == stable(bare)


@pytest.mark.parametrize("path", PATHS)
async def test_what_cannot_be_continued_begins_anew_while_nothing_has_gone_out(
    asking: Asking, path: str
) -> None:
    body = greedy(path, grammar='root ::= "yes" " no"+')
    wanted = await asking.events(path, body)
    asking.leader.deaths = [1 if path == CHAT else 0]
    assert stable(await asking.events(path, body)) == stable(wanted)
    assert asking.leader.deaths == []


@pytest.mark.parametrize("path", PATHS)
async def test_what_cannot_be_continued_ends_with_an_error_once_something_has_gone_out(
    asking: Asking, path: str
) -> None:
    body = greedy(path, grammar='root ::= "yes" " no"+')
    wanted = await asking.events(path, body)
    asking.leader.deaths = [9]
    events = await asking.events(path, body)
    assert stable(events[:-1]) == stable(wanted[:9])
    assert "it has a grammar" in events[-1]["error"]["message"]


async def through_openai(asking: Asking, **more: Any) -> tuple[str, Any]:
    """What the openai package gathers of a streamed chat: its text and its usage."""

    def talk() -> tuple[str, Any]:
        with OpenAI(base_url=f"{asking.http.base_url.join('/v1')}", api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(
                model="any",
                messages=[{"role": "user", "content": "What holds this model together?"}],
                temperature=0,
                max_tokens=TOKENS,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"cache_prompt": False, **more},
            )
            text, usage = "", None
            for chunk in stream:
                text += "".join(choice.delta.content or "" for choice in chunk.choices)
                usage = chunk.usage or usage
            return text, usage

    return await trio.to_thread.run_sync(talk)


async def test_the_openai_package_streams_on_when_the_leader_dies(asking: Asking) -> None:
    wanted, usage = await through_openai(asking)
    asking.leader.deaths, asking.leader.crumbs = [20, 30, 40], 25
    text, counted = await through_openai(asking)
    assert asking.leader.deaths == []
    assert text == wanted
    assert (counted.completion_tokens, counted.prompt_tokens) == (TOKENS, usage.prompt_tokens)


async def test_the_openai_package_raises_when_an_answer_cannot_go_on(asking: Asking) -> None:
    asking.leader.deaths = [20]
    with pytest.raises(APIError, match="it has a grammar"):
        await through_openai(asking, grammar='root ::= "yes" " no"+')


def thought_of(events: list[dict[str, Any]]) -> str:
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    return "".join(delta.get("reasoning_content") or "" for delta in deltas)


@pytest.mark.parametrize("how", ["exact", "fast"])
async def test_thoughts_go_on_as_thoughts(engine: Engine, model: Path, tmp_path: Path, how: str) -> None:
    async with thinking(engine, model, tmp_path) as asking:
        body = greedy(CHAT, stream_options={"include_usage": True})
        wanted = await asking.events(CHAT, body)
        asking.leader.deaths = [30, 30]
        events = await asking.events(CHAT, body, how)
    assert asking.leader.deaths == []
    assert len(thought_of(wanted)) > 100
    assert text_of(events) == text_of(wanted) == ""
    assert len({event["id"] for event in events}) == 1
    assert events[-1]["usage"]["completion_tokens"] == TOKENS
    assert events[-1]["usage"]["prompt_tokens"] == wanted[-1]["usage"]["prompt_tokens"]
    begin = thought_of(wanted[:30])
    assert thought_of(events).startswith(begin)
    if how == "exact":
        assert stable(events) == stable(wanted)

"""What the official clients make of a stream that the gateway brings, and of one that breaks off."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from anthropic import Anthropic, APIStatusError, AuthenticationError, InternalServerError
from openai import APIError, OpenAI

from leader.door.dialects.openai_responses import to_chat
from leader.door.writers.messages_writer import MessagesWriter
from leader.door.writers.responses_writer import ResponsesWriter
from mesh.gateway import proxy
from mesh.gateway.backend import NotReady
from mesh.gateway.entry.entrances import Entrance
from mesh.gateway.http_server import serve_gateway
from tests.leader.door.writers.chat_streams import chat_stream, told
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import END, Call, ScriptedBackend, chunk, sse

LIMIT = 20
STREAM = chat_stream({"content": "hel"}, {"content": "lo"})
MESSAGES = told(MessagesWriter({}), STREAM)
RESPONSES = told(ResponsesWriter(to_chat({"input": "?"})[1]), STREAM)
Ask = Callable[[int], str]


def ask_for_message(port: int) -> str:
    """Ask by Anthropic's client for a streamed message, and return its text."""
    with (
        Anthropic(base_url=f"http://127.0.0.1:{port}", api_key="-", max_retries=0) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}]
        ) as stream,
    ):
        return stream.get_final_text()


def ask_for_response(port: int) -> str:
    """Ask by OpenAI's client for a streamed response, and return its text."""
    text = ""
    with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="-", max_retries=0) as client:
        for event in client.responses.create(model="m", input="?", stream=True):
            text += event.delta if event.type == "response.output_text.delta" else ""
    return text


def leader_of(events: bytes, end: bytes = END) -> Callable[[Call], Any]:
    """A leader that answers by these events, then ends in good order, or without."""

    async def lead(call: Call) -> None:
        await call.request()
        await call.send(sse() + chunk(events) + end)

    return lead


async def by_client(gateway: RunningGateway, ask: Ask) -> str:
    with trio.fail_after(LIMIT):
        return await trio.to_thread.run_sync(ask, gateway.port)


CLIENTS = [
    pytest.param(ask_for_message, MESSAGES, APIStatusError, id="anthropic"),
    pytest.param(ask_for_response, RESPONSES, APIError, id="openai"),
]


@pytest.mark.parametrize(("ask", "events", "error"), CLIENTS)
async def test_a_whole_stream_is_what_the_client_gets(
    start_gateway: StartGateway, ask: Ask, events: bytes, error: type[Exception]
) -> None:
    gateway = await start_gateway(leader_of(events))
    assert await by_client(gateway, ask) == "hello"


@pytest.mark.parametrize(("ask", "events", "error"), CLIENTS)
@pytest.mark.parametrize("end", [END, b""], ids=["in good order", "cut off"])
@pytest.mark.parametrize("kept", [1, 4, -1])
async def test_a_leader_that_is_lost_makes_the_client_raise(
    start_gateway: StartGateway, ask: Ask, events: bytes, error: type[Exception], end: bytes, kept: int
) -> None:
    begun = b"".join(event + b"\n\n" for event in events.removesuffix(b"\n\n").split(b"\n\n")[:kept])
    gateway = await start_gateway(leader_of(begun, end))
    with pytest.raises(error, match="leader"):
        await by_client(gateway, ask)


@pytest.mark.parametrize(("ask", "events", "error"), CLIENTS)
async def test_a_gateway_that_stops_makes_the_client_raise(
    nursery: trio.Nursery, ask: Ask, events: bytes, error: type[Exception]
) -> None:
    async def slow(call: Call) -> None:
        await call.request()
        await call.send(sse() + chunk(events[: events.index(b"\n\n") + 2]))
        begun.set()
        await call.hung_up()

    begun, scope = trio.Event(), trio.CancelScope()

    async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        with scope:
            node = ScriptedBackend(nursery, slow)
            await serve_gateway([Entrance("127.0.0.1", 0)], node, task_status=task_status)

    async def stop() -> None:
        await begun.wait()
        scope.cancel()

    [(_, port)] = await nursery.start(serve)
    nursery.start_soon(stop)
    with trio.fail_after(LIMIT), pytest.raises(error, match="stopping"):
        await trio.to_thread.run_sync(ask, port)


async def test_a_gateway_without_leader_is_an_error_of_anthropics_own_kind(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "ARRIVAL_PATIENCE", 0)
    gateway = await start_gateway(leader_of(b""))
    gateway.node.error = NotReady("the model is loading, 40%", 2.5)
    with pytest.raises(InternalServerError, match=r"overloaded_error.*the model is loading, 40%"):
        await by_client(gateway, ask_for_message)


async def test_a_wrong_key_is_an_error_of_anthropics_own_kind(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(leader_of(b""), api_key="right")
    with pytest.raises(AuthenticationError, match="authentication_error"):
        await by_client(gateway, ask_for_message)

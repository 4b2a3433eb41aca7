"""The door answers in the dialect of the path also where it refuses before it reads."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from leader.door.askers.accounts import Askers
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.limits import Limits
from leader.door.orders import EngineFacts
from mesh.net.stream_kinds import StreamKind
from mesh.serving.answer_counter import Answers
from mesh.serving.asking.ask_reporter import AskReporter
from mesh.serving.asking.door import Caller, Door, DoorEngine

ANNA = Caller("anna", owner=False)


def door_of(limits: Limits) -> Door:
    askers, deaths = Askers(limits), EngineDeaths()
    engine = SimpleNamespace(
        facts=EngineFacts("model", 4096, 1),
        answers=Answers(lambda: None),
        turns=SimpleNamespace(deal=lambda: None),
    )
    reporter = AskReporter(askers, deaths, lambda id: id)
    return Door(lambda: cast(DoorEngine, engine), askers, deaths, reporter)


async def ask(door: Door, path: str, body: bytes = b"{}") -> tuple[int, dict[str, Any]]:
    client, far = trio.testing.memory_stream_pair()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    await client.send_all(head.encode() + body)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.serve, far, ANNA, StreamKind.API)
        got = bytearray()
        while piece := await client.receive_some():
            got += piece
        await client.aclose()
    answered, _, content = bytes(got).partition(b"\r\n\r\n")
    return int(answered.split()[1]), json.loads(content)


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v1/messages", "rate_limit_error"), ("/v1/chat/completions", "invalid_request_error")],
)
async def test_a_limit_is_told_in_the_dialect_of_the_path(path: str, told: str) -> None:
    status, body = await ask(door_of(Limits(queued=0)), path)
    assert (status, body["error"]["type"]) == (429, told)
    assert body.get("type") == ("error" if path == "/v1/messages" else None)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_body_out_of_bounds_is_refused_by_its_field(path: str) -> None:
    status, body = await ask(door_of(Limits()), path, b'{"messages":[],"id_slot":1}')
    assert (status, body["error"]["message"].split(":")[0]) == (400, "id_slot")

"""The door answers in the dialect of the path also where it refuses before it reads."""

import json

import pytest

from leader.door.askers.limits import Limits
from tests.mesh.serving.asking.scripted_engine import nobody, open_door


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v1/messages", "rate_limit_error"), ("/v1/chat/completions", "invalid_request_error")],
)
async def test_a_limit_is_told_in_the_dialect_of_the_path(path: str, told: str) -> None:
    async with open_door(nobody, limits=Limits(queued=0)) as opened:
        status, _, content = await opened.ask(path, {})
    body = json.loads(content)
    assert (status, body["error"]["type"]) == (429, told)
    assert body.get("type") == ("error" if path == "/v1/messages" else None)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_body_out_of_bounds_is_refused_by_its_field(path: str) -> None:
    async with open_door(nobody) as opened:
        status, _, content = await opened.ask(path, {"messages": [], "id_slot": 1})
    assert (status, json.loads(content)["error"]["message"].split(":")[0]) == (400, "id_slot")

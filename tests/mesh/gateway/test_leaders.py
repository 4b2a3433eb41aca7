"""Requests that come while nobody leads."""

import json

import pytest
import trio

from mesh.gateway import leaders
from mesh.gateway.backend import NothingServed, NotReady
from tests.mesh.gateway.conftest import OpenDoor
from tests.mesh.gateway.doubles import Call

LIMIT = 5


async def empty(call: Call) -> None:
    await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def test_a_request_waits_for_a_leader(open_door: OpenDoor) -> None:
    door = await open_door(empty)
    door.node.error = NotReady("nobody leads")
    client = await door.connect()
    await client.ask("GET", "/v1/models")
    with trio.fail_after(LIMIT):
        await trio.sleep(0.2)
        door.node.error = None
        assert (await client.answer())[0] == 200


async def test_a_change_is_noticed_at_once(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaders, "RETRY", 3600)
    door = await open_door(empty)
    door.node.error = NotReady("nobody leads")
    waits = trio.Event()

    async def search() -> trio.abc.Stream:
        waits.set()
        return await type(door.node).open_leader(door.node)

    door.node.open_leader = search  # type: ignore[method-assign]
    client = await door.connect()
    await client.ask("GET", "/v1/models")
    with trio.fail_after(LIMIT):
        await waits.wait()
        await trio.testing.wait_all_tasks_blocked()
        door.node.error = None
        await door.node.tell.send(door.node.state)
        assert (await client.answer())[0] == 200


async def test_a_request_that_has_waited_long_enough_is_asked_to_come_again(open_door: OpenDoor) -> None:
    door = await open_door()
    door.node.error = NotReady("nobody leads", 2.0)
    with trio.fail_after(LIMIT):
        status, headers, body = await door.fetch("GET", "/v1/models", x_mesh_patience="0.3")
    assert (status, headers["retry-after"]) == (503, "2")
    assert json.loads(body)["error"]["message"] == "nobody leads"


@pytest.mark.parametrize("error", [NothingServed(), NotReady("it does not fit", lasting=True)])
async def test_nobody_waits_for_what_does_not_come_by_waiting(open_door: OpenDoor, error: NotReady) -> None:
    door = await open_door()
    door.node.error = error
    with trio.fail_after(LIMIT):
        assert (await door.fetch("GET", "/v1/models"))[0] == 503


async def test_not_more_wait_than_the_limit(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaders, "MAX_WAITING", 1)
    door = await open_door()
    door.node.error = NotReady("nobody leads")
    waits = trio.Event()

    async def search() -> trio.abc.Stream:
        waits.set()
        raise NotReady("nobody leads")

    door.node.open_leader = search  # type: ignore[method-assign]
    await (await door.connect()).ask("GET", "/v1/models")
    with trio.fail_after(LIMIT):
        await waits.wait()
        await trio.testing.wait_all_tasks_blocked()
        status, _, body = await door.fetch("GET", "/v1/models")
    assert status == 503
    assert "1 requests are waiting" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x_mesh_patience", "-1"),
        ("x_mesh_patience", "3601"),
        ("x_mesh_patience", "nan"),
        ("x_mesh_patience", "long"),
        ("x_mesh_resume", "Exact"),
    ],
)
async def test_wishes_that_make_no_sense_are_refused(open_door: OpenDoor, name: str, value: str) -> None:
    door = await open_door()
    status, _, body = await door.fetch("POST", "/completion", b"{}", **{name: value})
    assert (status, json.loads(body)["error"]["code"]) == (400, "bad_request")

"""Requests that come while nobody leads."""

import json

import pytest
import trio

from mesh.gateway import leaders
from mesh.gateway.backend import NothingServed, NotReady
from mesh.net.stream_kinds import StreamKind
from tests.mesh.gateway.conftest import StartGateway
from tests.mesh.gateway.doubles import Call

LIMIT = 5


async def empty(call: Call) -> None:
    await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def test_a_request_waits_for_a_leader(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(empty)
    gateway.node.error = NotReady("nobody leads")
    client = await gateway.connect()
    await client.ask("GET", "/props")
    with trio.fail_after(LIMIT):
        await trio.sleep(0.2)
        gateway.node.error = None
        assert (await client.answer())[0] == 200


async def test_a_change_is_noticed_at_once(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders, "RETRY", 3600)
    gateway = await start_gateway(empty)
    gateway.node.error = NotReady("nobody leads")
    waits = trio.Event()

    async def search(kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        waits.set()
        return await type(gateway.node).open_leader(gateway.node, kind)

    gateway.node.open_leader = search  # type: ignore[method-assign]
    client = await gateway.connect()
    await client.ask("GET", "/props")
    with trio.fail_after(LIMIT):
        await waits.wait()
        await trio.testing.wait_all_tasks_blocked()
        gateway.node.error = None
        await gateway.node.tell.send(gateway.node.state)
        assert (await client.answer())[0] == 200


async def test_a_request_that_has_waited_long_enough_is_asked_to_come_again(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway()
    gateway.node.error = NotReady("nobody leads", 2.0)
    with trio.fail_after(LIMIT):
        status, headers, body = await gateway.fetch("GET", "/props", x_mesh_patience="0.3")
    assert (status, headers["retry-after"]) == (503, "2")
    assert json.loads(body)["error"]["message"] == "nobody leads"


@pytest.mark.parametrize("error", [NothingServed(), NotReady("it does not fit", lasting=True)])
async def test_nobody_waits_for_what_does_not_come_by_waiting(
    start_gateway: StartGateway, error: NotReady
) -> None:
    gateway = await start_gateway()
    gateway.node.error = error
    with trio.fail_after(LIMIT):
        assert (await gateway.fetch("GET", "/props"))[0] == 503


async def test_not_more_wait_than_the_limit(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders, "MAX_WAITING", 1)
    gateway = await start_gateway()
    gateway.node.error = NotReady("nobody leads")
    waits = trio.Event()

    async def search(kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        waits.set()
        raise NotReady("nobody leads")

    gateway.node.open_leader = search  # type: ignore[method-assign]
    await (await gateway.connect()).ask("GET", "/props")
    with trio.fail_after(LIMIT):
        await waits.wait()
        await trio.testing.wait_all_tasks_blocked()
        status, _, body = await gateway.fetch("GET", "/props")
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
async def test_wishes_that_make_no_sense_are_refused(
    start_gateway: StartGateway, name: str, value: str
) -> None:
    gateway = await start_gateway()
    status, _, body = await gateway.fetch("POST", "/completion", b"{}", **{name: value})
    assert (status, json.loads(body)["error"]["code"]) == (400, "bad_request")

import json

import pytest
import trio
import trio.testing

from mesh.gateway import feed
from tests.mesh.gateway.conftest import StartGateway
from tests.mesh.gateway.doubles import STATUS, Client

LIMIT = 5


async def event(client: Client) -> dict[str, object]:
    with trio.fail_after(LIMIT):
        text = await client.piece()
    name, data, *rest = text.decode().split("\n")
    assert (name, rest) == ("event: status", ["", ""])
    value = json.loads(data.removeprefix("data: "))
    assert isinstance(value, dict)
    return value


async def test_a_watcher_gets_the_status_now_and_after_each_change(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    client = await gateway.connect()
    await client.ask("GET", "/events")
    assert (await client.head()).status_code == 200
    assert await event(client) == STATUS
    for trouble in ("x", "y"):
        await gateway.node.tell.send({**STATUS, "trouble": trouble})
        assert await event(client) == {**STATUS, "trouble": trouble}


async def test_while_nobody_watches_a_change_costs_no_status(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway()
    made: list[object] = []

    def json_bytes(status: object) -> bytes:
        made.append(status)
        return b"{}"

    monkeypatch.setattr(feed, "json_bytes", json_bytes)
    for number in range(3):
        gateway.node.tell.send_nowait({**STATUS, "number": number})
    await trio.testing.wait_all_tasks_blocked()
    assert (gateway.node.state["number"], made) == (2, [])


async def test_a_watcher_that_is_slow_gets_the_newest_and_nothing_is_kept_for_it(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway()
    client = await gateway.connect()
    await client.ask("GET", "/events")
    await client.head()
    await event(client)
    for number in range(100):
        gateway.node.tell.send_nowait({**STATUS, "number": number})
    numbers = [(await event(client))["number"]]
    while numbers[-1] != 99:
        numbers.append((await event(client))["number"])
    assert len(numbers) <= 3


async def test_silence_is_filled_so_that_the_stream_is_not_taken_for_dead(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEEP_ALIVE", 0.01)
    gateway = await start_gateway()
    client = await gateway.connect()
    await client.ask("GET", "/events")
    await client.head()
    await event(client)
    with trio.fail_after(LIMIT):
        assert (await client.piece()).startswith(b": alive\n\n")


async def test_more_watchers_than_the_limit_are_turned_away_until_one_leaves(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_WATCHERS", 1)
    gateway = await start_gateway()
    first = await gateway.connect()
    await first.ask("GET", "/events")
    await first.head()
    assert (await gateway.fetch("GET", "/events"))[0] == 503
    await first.stream.aclose()
    with trio.fail_after(LIMIT):
        while True:
            client = await gateway.connect()
            await client.ask("GET", "/events")
            if (await client.head()).status_code == 200:
                break

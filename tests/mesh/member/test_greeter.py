"""A member finds the others: as they announce themselves, by looking, and where they were before."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mesh.member import greeter
from mesh.member.greeter import Greeter
from mesh.net.discovery.discovery_source import Sighting
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId, id_text
from mesh.wire.versions import CLOSED
from tests.mesh.machines import Ground, Here

THERE = Endpoint("192.0.2.7", 7)


def sighting(pool: PoolId, *endpoints: Endpoint) -> Sighting:
    return Sighting(id_text(pool), id_text(pool), "bert", CLOSED, endpoints)


def met(here: Here, monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
    """The endpoints that its node is asked to meet from now on."""
    endpoints: list[Endpoint] = []

    def meet(now: float, found: list[Endpoint]) -> list[object]:
        endpoints.extend(found)
        return []

    monkeypatch.setattr(here.node, "add_seeds", meet)
    return endpoints


async def founder(ground: Ground) -> tuple[Here, Greeter]:
    anna = await ground.machine("anna")
    anna.found()
    assert anna.driver is not None
    return anna, Greeter(anna.discovery, anna.driver)


async def test_a_member_of_the_pool_that_announces_itself_is_met_at_once(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await founder(ground)
    endpoints = met(anna, monkeypatch)
    one.greet(sighting(PoolId(b"?" * 16), Endpoint("192.0.2.8", 8)))
    one.greet(sighting(anna.own_pool, THERE))
    assert endpoints == [THERE]


async def test_what_discovery_sees_is_met_again_and_again_while_alone(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await founder(ground)
    anna.mdns.see.send_nowait(sighting(anna.own_pool, THERE))
    await wait_all_tasks_blocked()
    endpoints = met(anna, monkeypatch)
    with trio.move_on_after(2.5 * greeter.LOOK_SECONDS):
        await one.run()
    assert endpoints == [THERE] * 3


async def test_in_company_it_is_met_once_and_the_cache_is_not_asked(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await founder(ground)
    bert = await ground.machine("bert")
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    anna.mdns.see.send_nowait(sighting(anna.own_pool, THERE))
    await wait_all_tasks_blocked()
    endpoints = met(anna, monkeypatch)
    anna.discovery.remember(anna.own_pool, [Endpoint("192.0.2.9", 9)])
    with trio.move_on_after(4 * greeter.LOOK_SECONDS):
        await one._look()
    assert endpoints == [THERE]


async def test_a_node_that_comes_back_alone_meets_those_it_knew(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await founder(ground)
    bert = await ground.machine("bert")
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    with trio.move_on_after(greeter.SAVE_SECONDS):
        await one.run()
    anna.found()
    endpoints = met(anna, monkeypatch)
    assert anna.driver is not None
    with trio.move_on_after(1):
        await Greeter(anna.discovery, anna.driver).run()
    assert endpoints == [bert.endpoint]


async def test_a_disk_that_keeps_no_peers_is_told_of_and_endured(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    anna, one = await founder(ground)
    bert = await ground.machine("bert")
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)

    def full(*_: object) -> None:
        raise MeshError("the disk is full")

    monkeypatch.setattr(anna.state, "save", full)
    with trio.move_on_after(greeter.LOOK_SECONDS) as looked:
        await one.run()
    assert looked.cancelled_caught
    assert [record.message for record in caplog.records].count("the disk is full") == 1

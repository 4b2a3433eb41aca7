"""A stay in a pool: from the first word to the last, with the gateway, and what ends it."""

from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from mesh.member.stay import Stay
from mesh.net.versions_preface import ProgramVersion
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from mesh.wire.versions import Versions
from tests.lab.userspace import userspace
from tests.mesh.gateway.doubles import Client
from tests.mesh.machines import Ground, Here, identities

LIMIT = 60


async def begun(here: Here, nursery: trio.Nursery, owner: Here | None = None) -> Stay:
    """Its stay, in a pool of its own or that of ``owner``."""
    if owner is None:
        stay = here.stays()
    else:
        stay = here.stays(await here.search().by_host(owner.endpoint, owner.invite()))
    await nursery.start(stay.run)
    return stay


async def acquainted(*stays: Stay) -> None:
    with trio.fail_after(LIMIT):
        for stay in stays:
            while [member.state for member in stay.node.members()] != ["alive"] * len(stays):
                await stay.machine.changes.wait(stay.machine.changes.count, 1)


async def test_a_founder_is_announced_and_its_gateway_answers_when_its_stay_has_begun(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna = await ground.machine("anna")
    stay = await begun(anna, nursery)
    assert anna.mdns.announced == [id_text(anna.own_pool)]
    assert anna.admission_server.greeting().state == "member"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(stay.api.replace("/v1", "/status"))
    assert answer.json()["pool"] == {"id": id_text(anna.own_pool), "name": stay.name}
    with trio.fail_after(LIMIT):
        while stay.node.leader() is None:
            await anna.changes.wait(anna.changes.count, 1)


KEY = "a-key-of-the-API-long-enough"


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A file with the key."""
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    return str(path)


async def asked(url: str, **headers: str) -> int:
    """The status of an answer to a program of this machine."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url.replace("/v1", "/status"), headers=headers)).status_code


async def test_it_refuses_the_tailnets_machines_unless_loopback_itself_wants_the_key(
    ground: Ground, nursery: trio.Nursery, key: str
) -> None:
    async with userspace(nursery) as daemon, daemon.running():
        stays = []
        for name, listen in (("anna", None), ("bert", "127.0.0.9"), ("cara", "loopback")):
            here = await ground.machine(name)
            listen = here.endpoint.host if listen == "loopback" else listen
            opened = {} if listen is None else {"listen": listen, "api_key": key}
            here.context = here.machine(None, tailscaled_socket=str(daemon.socket), **opened)
            stays.append(await begun(here, nursery))
        alone, to_others, to_all = stays

        async def visit(stay: Stay, authorization: str = "") -> int:
            api = httpx.URL(stay.api)
            client = Client(await daemon.visit(api.port or 0, api.host))
            with trio.fail_after(LIMIT):
                async with client.stream:
                    await client.ask("GET", "/status", authorization=authorization)
                    return (await client.answer())[0]

        assert await visit(alone) == 403
        assert await visit(to_others, f"Bearer {KEY}") == 403
        assert await visit(to_all) == 401
        assert await visit(to_all, f"Bearer {KEY}") == 200
        assert [await asked(stay.api) for stay in stays] == [200, 200, 401]
        async with httpx.AsyncClient(trust_env=False) as client:
            metrics = await client.get(alone.api.replace("/v1", "/metrics"))
        assert 'mesh_refused_total{what="api",why="tailnet"} 1.0' in metrics.text
        nursery.cancel_scope.cancel()


async def test_it_says_where_others_ask_and_that_they_need_the_key(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, key: str
) -> None:
    for name, listen in (("anna", None), ("bert", "127.0.0.9"), ("cara", "0.0.0.0")):
        here = await ground.machine(name)
        opened = {} if listen is None else {"listen": listen, "api_key": key}
        here.context = here.machine(None, **opened)
        stay = await begun(here, nursery)
        assert stay.status()["listen"] == stay.listen
        assert await asked(stay.api) == 200
        if listen is None:
            assert stay.listen is None
            continue
        assert stay.listen is not None
        url = httpx.URL(stay.listen)
        assert url.host == ("127.0.0.9" if listen == "127.0.0.9" else here.endpoint.host)
        assert await asked(stay.listen) == 401
        assert await asked(stay.listen, **{"x-api-key": KEY}) == 200
        assert KEY not in str(stay.status())
        assert key not in str(stay.status())
    nursery.cancel_scope.cancel()


async def test_nothing_of_a_stay_is_left_when_it_is_cancelled(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    async with trio.open_nursery() as nursery:
        stay = await begun(anna, nursery)
        nursery.cancel_scope.cancel()
    assert anna.admission_server.greeting().state == "searching"
    assert anna.streams.pool is None
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(stay.api.replace("/v1", "/status"))


async def test_a_member_that_says_goodbye_has_left_for_the_others(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    at_annas = await begun(anna, nursery)
    at_berts = await begun(bert, nursery, anna)
    await acquainted(at_annas, at_berts)
    await at_berts.say_goodbye()
    assert bert.admission_server.greeting().state == "searching"
    with trio.fail_after(LIMIT):
        while (member := at_annas.node.member(bert.id)) is None or member.state != "left":
            await anna.changes.wait(anna.changes.count, 1)


async def test_status_says_of_one_that_is_gone_what_it_last_said_of_its_program(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    at_annas, at_berts = await begun(anna, nursery), await begun(bert, nursery, anna)
    await acquainted(at_annas, at_berts)
    await at_berts.say_goodbye()
    anna.streams.versions[bert.id] = ProgramVersion(Versions(5, 7))
    with trio.fail_after(LIMIT):
        while {one["name"]: one["versions"] for one in at_annas.status()["members"]}["bert"] != [5, 7]:
            await anna.changes.wait(anna.changes.count, 1)


async def test_an_eviction_ends_the_stay_and_says_by_whom(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    async with trio.open_nursery() as nursery:
        at_annas = await begun(anna, nursery)
        async with trio.open_nursery() as of_bert:
            at_berts = await begun(bert, of_bert, anna)
            await acquainted(at_annas, at_berts)
            at_annas.driver.command(at_annas.node.evict, bert.id)
            with trio.move_on_after(LIMIT):
                await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    assert at_berts.expelled == f"this machine was evicted from pool {at_berts.name} by anna"
    assert bert.streams.pool is None


async def test_an_evicted_members_invites_are_void(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    stay = await begun(anna, nursery)
    closed: list[bytes] = []
    monkeypatch.setattr(anna.invites, "close_for", closed.append)
    await acquainted(stay, await begun(bert, nursery, anna))
    stay.driver.command(stay.node.evict, bert.id)
    assert closed == [bert.id]


async def test_of_two_founders_alone_one_ends_its_stay_with_where_to_move(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    first, second = [
        await ground.machine(name, "alice", identity)
        for name, identity in zip(("first", "second"), identities(2), strict=True)
    ]
    await begun(first, nursery)
    stay = second.stays()
    with trio.fail_after(LIMIT):
        admitted = await stay.run()
    assert admitted is not None
    assert admitted.pool == first.own_pool
    assert stay.expelled is None


async def test_the_status_names_the_trouble_with_the_disk(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await ground.machine("anna")
    stay = anna.stays()
    assert "trouble" not in stay.status()

    def full(*_: object) -> None:
        raise MeshError("the disk is full")

    monkeypatch.setattr(anna.state, "persist", full)
    stay.driver.do(stay.node.vouch, identities(1)[0].public_key, stay.node.rights(anna.id))
    assert stay.status()["trouble"] == "the disk is full"

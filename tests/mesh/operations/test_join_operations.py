"""In which way a machine joins, what it is told of its pool, and how it leaves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mesh.admission.handshake import Admitted, Uninvited
from mesh.admission.invites import Token
from mesh.admission.search import Say
from mesh.control.operations import JoinArgs, JoinResult
from mesh.net.versions_preface import OtherVersion, ProgramVersion
from mesh.operations import join_operations
from mesh.operations.join_operations import JoinOperations
from mesh.runtime.status import name_of
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.rights import Rights
from mesh.wire.versions import SPOKEN, Versions
from tests.mesh.operations.homes import BUILDING, Events, FakeHome, admitted, leading
from tests.mesh.protocol.stage import Stage as Scene

ELSEWHERE = PoolId(b"e" * 16)
BY_HOST, BY_TOKEN, FOUND, APPROVED = (cast(Admitted, name) for name in ("host", "token", "found", "approved"))
HOST: JoinArgs = {"host": "127.0.0.9"}


class FakeSearch:
    """Every search is admitted, unless ``uninvited``; ``pool`` is the one at each host."""

    def __init__(self) -> None:
        self.uninvited = False
        self.pool = ELSEWHERE
        self.near: Admitted | None = None
        self.lan: dict[PoolId | None, list[Endpoint]] = {}
        self.say: Say

    def of(self, machine: Any, say: Say) -> "FakeSearch":
        self.say = say
        return self

    async def pool_at(self, there: Endpoint) -> PoolId:
        return self.pool

    async def by_token(self, token: Token) -> Admitted:
        return BY_TOKEN

    async def by_host(self, there: Endpoint, token: Token | None) -> Admitted:
        self._refuse()
        return BY_HOST

    async def anywhere(self) -> Admitted | None:
        self._refuse()
        return self.near

    def lan_endpoints(self) -> dict[PoolId | None, list[Endpoint]]:
        return self.lan

    def _refuse(self) -> None:
        if self.uninvited:
            raise Uninvited("that pool takes invites")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> FakeSearch:
    search = FakeSearch()

    async def approval(asked: FakeSearch, endpoints: Callable[[], Any]) -> Admitted:
        assert asked is search
        assert endpoints(), "there is somebody to ask"
        return APPROVED

    monkeypatch.setattr(join_operations, "Search", search)
    monkeypatch.setattr(join_operations, "await_approval", approval)
    return search


@pytest.fixture
def home(tmp_path: Path, search: FakeSearch) -> FakeHome:
    return FakeHome(tmp_path, leading(Scene()))


async def join(home: FakeHome, args: JoinArgs) -> JoinResult:
    return await JoinOperations(home).join(args, Events().emit)


def invite_to(pool: PoolId) -> str:
    return Token(pool, NodeId(b"n" * 16), bytes(16), (Endpoint("127.0.0.9", 50052),)).text()


async def test_a_machine_that_finds_nobody_founds_a_pool_and_gets_an_invite(home: FakeHome) -> None:
    events = Events()
    result = await JoinOperations(home).join({}, events.emit)
    assert home.done == ["found"]
    assert events == [{"text": "founding a pool"}]
    assert (result["how"], result["members"], result["engine"]) == ("founded", 1, BUILDING)
    assert result["rights"] == ["work", "ask", "lead", "own"]
    assert result["leader"] is not None
    assert result["token"] is not None
    assert Token.parse(result["token"]).pool == home.scene.pool


@pytest.mark.parametrize(
    ("args", "client"), [(HOST, BY_HOST), ({"token": invite_to(ELSEWHERE)}, BY_TOKEN), ({}, FOUND)]
)
async def test_a_machine_goes_through_the_door_that_it_is_shown_else_through_one_it_finds(
    home: FakeHome, search: FakeSearch, args: JoinArgs, client: Admitted
) -> None:
    search.near = FOUND
    result = await join(home, args)
    assert (result["how"], result["token"]) == ("joined", None), "an invite is the founder's to make"
    assert home.done == [client]


async def test_who_is_to_found_does_not_search(home: FakeHome, search: FakeSearch) -> None:
    search.near = FOUND
    assert (await join(home, {"found": True}))["how"] == "founded"


@pytest.mark.parametrize("args", [HOST, {}])
async def test_without_an_invite_an_owner_approves_while_a_person_waits(
    home: FakeHome, search: FakeSearch, args: JoinArgs
) -> None:
    search.uninvited, search.lan = True, {ELSEWHERE: [Endpoint("127.0.0.9", 50052)]}
    with pytest.raises(Uninvited):
        await join(home, args)
    assert home.done == []
    attended: JoinArgs = {**args, "terminal": True}
    assert (await join(home, attended))["how"] == "joined"
    assert home.done == [APPROVED]


async def test_no_approval_is_waited_for_where_an_invite_was_refused_or_nobody_is_near(
    home: FakeHome, search: FakeSearch
) -> None:
    search.uninvited = True
    refused: JoinArgs = {**HOST, "token": invite_to(ELSEWHERE), "terminal": True}
    nobody: JoinArgs = {"terminal": True}
    for args in (refused, nobody):
        with pytest.raises(Uninvited):
            await join(home, args)


async def test_only_an_owner_is_given_an_invite_for_the_next(tmp_path: Path, search: FakeSearch) -> None:
    search.near = FOUND
    home = FakeHome(tmp_path, leading(admitted(Rights.WORK | Rights.LEAD)))
    result = await join(home, {})
    assert (result["how"], result["token"], result["rights"]) == ("joined", None, ["work", "ask", "lead"])


async def test_a_member_that_is_where_it_was_asked_to_be_changes_nothing(
    home: FakeHome, search: FakeSearch
) -> None:
    home.enter()
    search.pool = home.scene.pool
    there: list[JoinArgs] = [{}, HOST, {"token": invite_to(home.scene.pool)}]
    for args in there:
        assert (await join(home, args))["how"] == "member"
    assert home.done == []


async def test_a_member_that_cannot_speak_with_its_pool_any_more_is_told_so(
    tmp_path: Path, search: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = FakeHome(tmp_path, Scene())
    bert, stranger = home.scene.member(2), home.scene.member(3, known=False)
    home.enter()
    apart = OtherVersion("192.0.2.7", ProgramVersion(Versions(5, 6), "0.9.0"), SPOKEN)

    async def out_of_reach(machine: Any, driver: Any) -> OtherVersion:
        assert (machine, driver) == (home.machine, home.stay.driver)
        return apart

    monkeypatch.setattr(join_operations, "out_of_reach", out_of_reach)
    for peer, name in ((bert.id, name_of(home.scene.node, bert.id)), (stranger.id, "192.0.2.7")):
        apart.peer = peer
        with pytest.raises(OtherVersion) as caught:
            await join(home, {})
        what = "speaks wire version 5 and 6 (mesh 0.9.0), this machine 2 and 3"
        assert caught.value.message == f"{name} {what}"
        assert caught.value.hint == (
            "upgrade this machine, then: mesh restart; meanwhile this machine stays in pool swift-otter, and "
            "is back in company then by itself"
        )
    assert home.done == []


@pytest.mark.parametrize("args", [{"found": True}, HOST, {"token": invite_to(ELSEWHERE)}])
async def test_a_member_does_not_go_elsewhere_before_it_has_left(home: FakeHome, args: JoinArgs) -> None:
    home.enter()
    with pytest.raises(MeshError, match="already belongs to pool swift-otter"):
        await join(home, args)
    assert home.done == []


@pytest.mark.parametrize("purge", [False, True])
async def test_leaving_says_goodbye_and_ends_the_sidecar(home: FakeHome, purge: bool) -> None:
    home.enter()
    events = Events()
    result = await JoinOperations(home).leave({"purge": purge}, events.emit)
    assert (result["pool"]["name"], result["pid"]) == ("swift-otter", os.getpid())
    assert events == [{"text": "leaving pool swift-otter"}]
    assert home.done == [("leave", True, True)], "for good, and known to be leaving meanwhile"
    assert (home.purge, home.stopping.is_set()) == (purge, True)

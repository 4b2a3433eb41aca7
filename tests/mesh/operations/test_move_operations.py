"""A move request reaches the leader, be that this machine or another."""

from pathlib import Path
from typing import Any

import pytest

from mesh.operations.move_operations import MoveOperations
from mesh.wire.errors import MeshError
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import Events, FakeHome, admitted, leading
from tests.mesh.protocol.stage import Stage as Scene


class FakeSession:
    async def receive_message(self) -> Any:
        return {"text": "the leader moves it"}

    async def aclose(self) -> None:
        pass


def home_of(scene: Scene, folder: Path) -> FakeHome:
    home = FakeHome(folder, scene)
    home.enter()
    return home


@pytest.mark.parametrize("now", [False, True])
async def test_the_leader_moves_by_itself(tmp_path: Path, now: bool) -> None:
    home = home_of(leading(Scene()), tmp_path)
    assert await MoveOperations(home).move({"now": now}, Events().emit) == {"text": "moved"}
    assert home.stay.leading.move_requests == [now]
    assert home.here.streams.opened == []


async def test_another_leader_is_asked_over_a_stream(tmp_path: Path) -> None:
    scene = Scene(rank=1)
    boss = scene.member(2, rank=50)
    boss.tells(boss.claim(1))
    scene.wait(5)
    home = home_of(scene, tmp_path)
    home.here.streams.session = FakeSession()
    assert await MoveOperations(home).move({"now": True}, Events().emit) == {"text": "the leader moves it"}
    assert home.here.streams.opened == [(boss.id, "move", {"now": True})]
    assert home.stay.leading.move_requests == []


async def test_without_a_leader_there_is_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="no leader at present"):
        await MoveOperations(home_of(Scene(), tmp_path)).move({"now": False}, Events().emit)


async def test_only_an_owner_may_move_what_runs(tmp_path: Path) -> None:
    home = home_of(leading(admitted(ALL_RIGHTS & ~Rights.OWN)), tmp_path)
    with pytest.raises(MeshError, match=r"may not move what runs.*ask an owner: mesh move there"):
        await MoveOperations(home).move({"now": False}, Events().emit)
    assert home.stay.leading.move_requests == []

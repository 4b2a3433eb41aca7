from pathlib import Path

import pytest

from leader.door.askers.usage import Usage
from mesh.control.control_errors import NotJoined
from mesh.operations.usage_operations import UsageOperations
from mesh.wire.identity import id_text
from tests.mesh.operations.homes import Events, FakeHome, leading
from tests.mesh.protocol.stage import Stage as Scene


async def test_the_leaders_counts_are_named(tmp_path: Path) -> None:
    home = FakeHome(tmp_path, leading(Scene()))
    operations = UsageOperations(home)
    with pytest.raises(NotJoined):
        await operations.usage({}, Events().emit)
    home.enter()
    id = id_text(home.scene.node.id)
    home.stay.leading.counts = {id: Usage(9, 1, 0, 3, 100, 50, 1000, 2000, 2, 40)}
    told = (await operations.usage({}, Events().emit))["asked"]
    assert told is not None
    assert (told[id]["requests"], told[id]["suspended_seconds"]) == (9, 40)


async def test_without_a_leader_nothing_is_known(tmp_path: Path) -> None:
    home = FakeHome(tmp_path, Scene())
    home.enter()
    assert await UsageOperations(home).usage({}, Events().emit) == {"asked": None}

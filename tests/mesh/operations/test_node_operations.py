"""What a node tells of itself, in and out of a pool, and how it is ended."""

import os
from pathlib import Path

import pytest

from mesh.control.control_errors import NotJoined
from mesh.operations.node_operations import NodeOperations
from mesh.runtime.program_build import build, version
from tests.mesh.operations.homes import Events, FakeHome
from tests.mesh.protocol.stage import Stage as Scene


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    return FakeHome(tmp_path, Scene())


async def test_the_process_tells_of_itself_before_it_is_in_a_pool(home: FakeHome) -> None:
    info = await NodeOperations(home).info({}, Events().emit)
    assert (info["pid"], info["joined"], info["stopping"]) == (os.getpid(), False, False)
    assert info["state_dir"] == str(home.state.path)
    assert info["options"]["name"] == "anna"
    assert (info["version"], info["build"]) == (version(), build())
    home.enter()
    assert (await NodeOperations(home).info({}, Events().emit))["joined"]


async def test_a_node_that_says_goodbye_counts_as_stopping(home: FakeHome) -> None:
    home.leaving = True
    assert (await NodeOperations(home).info({}, Events().emit))["stopping"]


async def test_a_shutdown_is_answered_and_set_in_motion(home: FakeHome) -> None:
    operations = NodeOperations(home)
    assert await operations.shutdown({}, Events().emit) == {"pid": os.getpid()}
    assert home.stopping.is_set()
    assert (await operations.info({}, Events().emit))["stopping"]


async def test_the_status_is_the_pools(home: FakeHome) -> None:
    operations = NodeOperations(home)
    with pytest.raises(NotJoined):
        await operations.status({}, Events().emit)
    home.enter()
    assert (await operations.status({}, Events().emit))["pool"]["name"] == "swift-otter"

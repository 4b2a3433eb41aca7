import argparse
from pathlib import Path

import pytest
import trio

from mesh.cli.chat.pool_questions import status_if_told, status_to_ask
from mesh.control.control_errors import NotJoined
from mesh.wire.errors import MeshError
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar


def arguments(state_dir: Path) -> argparse.Namespace:
    return argparse.Namespace(state_dir=str(state_dir))


async def test_a_pool_that_serves_is_told_and_another_refused(sidecar: FakeSidecar, state_dir: Path) -> None:
    args = arguments(state_dir)
    sidecar.answers["status"] = examples.status()
    assert (await trio.to_thread.run_sync(status_to_ask, args))["api"] == "http://127.0.0.1:50080/v1"
    sidecar.answers["status"] = examples.status(deployment=None)
    with pytest.raises(MeshError, match="no model is served"):
        await trio.to_thread.run_sync(status_to_ask, args)
    assert await trio.to_thread.run_sync(status_if_told, args) == examples.status(deployment=None)


def test_without_a_sidecar_there_is_no_status(state_dir: Path) -> None:
    with pytest.raises(NotJoined):
        status_to_ask(arguments(state_dir))
    assert status_if_told(arguments(state_dir)) is None

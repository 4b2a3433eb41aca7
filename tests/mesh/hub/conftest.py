"""The real process and the real library against a hub made for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import HubAsker


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with ScriptedHub() as made:
        yield made


@pytest.fixture
def ask(hub: ScriptedHub, tmp_path: Path) -> HubAsker:
    return HubAsker(hub, tmp_path)

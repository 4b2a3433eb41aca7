"""Commands that start a sidecar, which is a stand-in."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import spawning
from mesh.control import paths
from mesh.control.control_client import ask
from mesh.control.control_errors import NotRunning
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import Terminal

FAKE_ROOT = Path(__file__).parent.parent / "fake_root"


class Machine(Terminal):
    """A machine whose sidecar is a stand-in."""

    def behave(self, **behaviour: Any) -> None:
        os.environ["FAKE_SIDECAR"] = json.dumps({"join": {"result": examples.joined()}, **behaviour})

    @property
    def socket(self) -> str:
        return paths.socket_path(paths.state_dir(str(self.state_dir)))

    def runs(self) -> bool:
        try:
            ask(self.socket, "info")
        except NotRunning:
            return False
        return True

    def noted(self, name: str) -> list[dict[str, Any]]:
        """What the stand-ins noted: how each was `started`, what they were `asked`."""
        file = self.state_dir / f"{name}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def end(self) -> None:
        """End all stand-ins that it started."""
        for started in self.noted("started"):
            with suppress(ProcessLookupError):
                os.kill(started["pid"], signal.SIGTERM)
                assert spawning.wait_until_it_ended(started["pid"])


@pytest.fixture
def machine(
    state_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    monkeypatch.setenv("PYTHONPATH", str(FAKE_ROOT))
    monkeypatch.setenv("FAKE_SIDECAR", "{}")
    machine = Machine(state_dir, capsys)
    machine.behave()
    yield machine
    machine.end()

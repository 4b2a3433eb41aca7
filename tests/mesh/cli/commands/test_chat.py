import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal


@pytest.fixture(autouse=True)
def nothing_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


async def test_a_machine_without_pool_or_model_is_told_so(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status(deployment=None)
    outcome = await mesh("chat", "Hi")
    assert outcome.code == 1
    assert "no model is served" in outcome.err
    assert "mesh serve" in outcome.err


def test_a_machine_in_no_pool_is_told_so(mesh: Terminal) -> None:
    outcome = mesh.run("chat", "Hi")
    assert outcome.code == 3
    assert "mesh join" in outcome.err


def test_empty_input_is_a_usage_error(mesh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    outcome = mesh.run("chat")
    assert outcome.code == 2
    assert "echo Hello | mesh chat" in outcome.err


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_without_a_terminal_or_a_prompt_there_is_nothing_to_do(tmp_path: Path, option: list[str]) -> None:
    program = [sys.executable, "-m", "mesh.cli", "--state-dir", str(tmp_path), "chat", *option]
    closed = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "bash", *program], capture_output=True, text=True, timeout=60
    )
    assert closed.returncode == 2
    assert "mesh chat PROMPT" in closed.stdout + closed.stderr


def test_the_command_loads_nothing_heavy_until_it_talks() -> None:
    program = "import sys, mesh.cli.commands.chat; print(*{'prompt_toolkit', 'h11'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == ""

"""What the script for a machine with a GPU would run: its tools are replaced by ones that only note it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT

SCRIPT = "tests/gpu/run"
PYTHON = '#!/bin/sh\necho python "$@" >> "$NOTES"\n'
MAKES_PYTHON = 'mkdir -p "$folder/bin" && cp "$PYTHON" "$folder/bin/python"\n'
UV = f"""#!/bin/sh
case $1 in
    --version) echo uv 0.13.9 ;;
    sync) echo uv "$@" >> "$NOTES"; folder=$UV_PROJECT_ENVIRONMENT; {MAKES_PYTHON} ;;
    *) exit 1 ;;
esac
"""
VENV = f"""#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec {{real}} "$@"; fi
echo python3 -m venv >> "$NOTES"
folder=$3
{MAKES_PYTHON}"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose tools note how they are called."""
    tools = tmp_path / "tools"
    tools.mkdir()
    real = subprocess.run(["which", "python3"], capture_output=True, text=True, check=True).stdout.strip()
    for name, text in {"uv": UV, "python3": VENV.format(real=real), "noting-python": PYTHON}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NOTES": str(tmp_path / "notes"),
        "PYTHON": str(tools / "noting-python"),
    }


def notes(machine: dict[str, str], *arguments: str) -> list[str]:
    """What the script ran."""
    subprocess.run(["bash", SCRIPT, *arguments], cwd=ROOT, env=machine, check=True, timeout=60)
    return Path(machine["NOTES"]).read_text().splitlines()


def test_it_makes_the_environment_from_the_lock_file_and_proves(machine: dict[str, str]) -> None:
    assert notes(machine, "--size", "4G") == [
        "uv sync --frozen --quiet",
        "python -m tests.gpu.proof --json --size 4G",
    ]


def test_without_a_network_it_installs_the_wheels_that_were_carried(
    machine: dict[str, str], tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a-1-py3-none-any.whl").touch()
    assert notes(machine | {"MESH_GPU_WHEELS": str(wheels)}) == [
        "python3 -m venv",
        f"python -m pip install --quiet --no-index --no-deps {wheels}/a-1-py3-none-any.whl",
        "python -m tests.gpu.proof --json",
    ]


def test_the_script_can_be_started(machine: dict[str, str]) -> None:
    subprocess.run(["bash", "-n", SCRIPT], cwd=ROOT, check=True)
    assert os.access(ROOT / SCRIPT, os.X_OK)

"""A killed demo's folder goes with the next demo; no other folder does."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mesh.tools.demo.demo_folder import LOCK, PREFIX, demo_folder

HOLDS = """
import tempfile, sys
tempfile.tempdir = sys.argv[1]
from mesh.tools.demo.demo_folder import demo_folder
with demo_folder() as folder:
    (folder / "copy.gguf").write_text("big")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_goes_with_the_demo(temporary: Path) -> None:
    def interrupted() -> None:
        with demo_folder() as folder:
            (folder / "a").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_demo_goes_with_the_next_and_not_before(temporary: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(temporary)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with demo_folder():
            assert (left / "copy.gguf").exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert left.exists()
        with demo_folder() as folder:
            assert list(temporary.iterdir()) == [folder]


def test_what_is_not_a_demo_s_folder_stays(temporary: Path) -> None:
    kept, others = temporary / f"{PREFIX}logs-1", temporary / "others"
    for folder in (kept, others):
        folder.mkdir()
    (others / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(others)
    with demo_folder():
        pass
    assert kept.exists()
    assert (others / LOCK).exists()

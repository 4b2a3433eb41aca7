"""A socket's folder is this user's alone, short, and gone after its process."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.engine.process import socket_folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is shorter than pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_socket_has_a_folder_of_its_own_that_this_user_alone_enters(short: Path) -> None:
    first, second = (socket_folder.make("engine.sock", [str(short)]) for _ in range(2))
    assert first.parent != second.parent
    assert first.name == "engine.sock"
    assert first.parent.stat().st_mode & 0o777 == 0o700
    assert not first.exists()
    first.touch()
    socket_folder.remove(first)
    assert not first.parent.exists()
    assert second.parent.exists()


def test_a_base_whose_paths_are_too_long_is_passed_over(tmp_path: Path, short: Path) -> None:
    longer = tmp_path / ("x" * 100)
    longer.mkdir()
    made = socket_folder.make("engine.sock", [str(longer), str(short)])
    assert made.is_relative_to(short)
    assert len(os.fsencode(made)) <= socket_folder.LONGEST_PATH
    with pytest.raises(OSError, match=r"short enough for engine\.sock"):
        socket_folder.make("engine.sock", [str(longer)])


def test_what_a_crash_left_is_removed_by_the_next_and_what_is_in_use_stays(short: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    names = (f"mesh-engine-{ended.pid}-abc", f"mesh-engine-{os.getpid()}-abc", f"mesh-engine-{10**20}-abc")
    left, used, other = (short / name for name in names)
    for folder in (left, used, other):
        folder.mkdir()
        (folder / "engine.sock").touch()
    socket_folder.remove(socket_folder.make("engine.sock", [str(short)]))
    assert sorted(short.iterdir()) == sorted([used, other])

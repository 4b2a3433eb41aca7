"""Landlock as the sandbox uses it; what it keeps a program from is shown in test_sandbox."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.engine.sandbox import landlock

NEEDED = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")

RESTRICTED = """
import ctypes, os, sys
from mesh.engine.sandbox import landlock
given, own, version = sys.argv[1:4]
if version != "own":
    landlock.abi = lambda: int(version)
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
landlock.restrict([(given, landlock.READ), (own, landlock.DEVICE), ("/nowhere/at/all", landlock.READ)], [])
for path, mode in ((given + "/a", "r"), (given + "/a", "w"), (given + "/new", "w"), (own, "w"), (own, "r")):
    try:
        open(path, mode).close()
        print("yes")
    except PermissionError:
        print("no")
"""


@NEEDED
@pytest.mark.parametrize("version", ["own", "1", "2", "3", "4", "5", "6"])
def test_only_what_was_allowed_stays_possible_in_every_version(tmp_path: Path, version: str) -> None:
    if version != "own" and int(version) > landlock.abi():
        pytest.skip("a newer version than this kernel's")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").touch()
    own = tmp_path / "own"
    own.touch()
    result = subprocess.run(
        [sys.executable, "-c", RESTRICTED, str(folder), str(own), version],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    # Truncating is a right of its own since the third version.
    truncates = version in ("1", "2")
    assert result.stdout.split() == ["yes", "no", "no", "yes" if truncates else "no", "yes"]


def test_a_kernel_without_it_is_version_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int, *arguments: object) -> int:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(landlock, "_call", unknown)
    assert landlock.abi() == 0


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert landlock.abi() == 0

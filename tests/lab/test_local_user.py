"""A command of another local user has that user's rights alone, and leaves the machine as it was."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.local_user import command_as, is_possible, nobody

pytestmark = pytest.mark.skipif(not is_possible(), reason="root alone becomes another user, on Linux")

LOOKS = """
import json, os, sys
import mesh
def can(mode, path):
    try:
        open(path, mode).close()
    except OSError:
        return False
    return True
shown, hidden = sys.argv[1:]
print(json.dumps([os.getresuid(), os.getgroups(), can("r", shown), can("w", shown), can("r", hidden)]))
"""


def test_another_user_sees_what_is_named_and_owns_nothing(tmp_path: Path) -> None:
    for name in ("shown", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        (tmp_path / name / "file").chmod(0o644)
        (tmp_path / name).chmod(0o755)
    tmp_path.chmod(0o700)
    mounts = Path("/proc/self/mountinfo").read_text()
    files = [str(tmp_path / name / "file") for name in ("shown", "hidden")]
    command = command_as(nobody(), [sys.executable, "-c", LOOKS, *files], [tmp_path / "shown"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == f"[[{nobody()}, {nobody()}, {nobody()}], [], true, false, false]\n", done.stderr
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert Path("/proc/self/mountinfo").read_text() == mounts

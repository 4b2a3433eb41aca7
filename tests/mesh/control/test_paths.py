import os
import tempfile
from pathlib import Path

import pytest

from mesh.control import paths


def test_a_state_directory_of_ones_own_has_its_socket_inside() -> None:
    state = paths.state_dir("/tmp/short")
    assert paths.socket_path(state) == f"{state}/mesh.sock"


def test_a_socket_path_is_never_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime in ("/run/user/1000", "/" + "r" * 200):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        found = {paths.socket_path("/" + "d" * length) for length in range(80, 200)}
        assert len(found) == 120
        assert all(len(os.fsencode(path)) <= paths.LONGEST_SOCKET_PATH for path in found)


def test_the_default_state_directory_has_its_socket_in_the_runtime_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="mesh-") as runtime:  # pytest's own are too long for a socket
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setenv("XDG_STATE_HOME", runtime)
        found = paths.socket_path(paths.state_dir())
        assert found == f"{runtime}/frankenstein-mesh/mesh.sock"


def test_links_and_relative_paths_lead_to_the_same_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert paths.state_dir("link") == paths.state_dir(str(tmp_path / "real")) == paths.state_dir("./real")

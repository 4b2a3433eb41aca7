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


@pytest.mark.parametrize("length", [30, 200])
def test_two_homes_of_one_user_never_share_a_socket(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="mesh-") as runtime:  # pytest's own are too long for a socket
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        found = set()
        for home in ("/" + "a" * length, "/" + "b" * length):
            monkeypatch.setenv("XDG_STATE_HOME", home)
            found.add(paths.socket_path(paths.state_dir()))
        assert len(found) == 2
        assert all(path.startswith(f"{runtime}/frankenstein-mesh/mesh-") for path in found) is (length > 100)


def test_a_sidecar_of_an_older_version_is_looked_for_where_that_one_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="mesh-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setenv("XDG_STATE_HOME", runtime)
        os.mkdir(f"{runtime}/frankenstein-mesh")
        state = paths.state_dir()
        assert list(paths.socket_paths(state)) == [
            f"{state}/mesh.sock",
            f"{runtime}/frankenstein-mesh/mesh.sock",
        ]
        assert list(paths.socket_paths("/srv/other")) == ["/srv/other/mesh.sock"]


@pytest.mark.parametrize(("home", "inside"), [("/srv/short", 1), ("/srv/" + "d" * 100, 0)])
def test_a_runtime_directory_of_somebody_else_is_no_place_to_look(
    home: str, inside: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "runtime"
    monkeypatch.setattr(paths, "_runtime_dir", lambda: str(runtime))
    monkeypatch.setenv("XDG_STATE_HOME", home)
    state = paths.state_dir()
    runtime.symlink_to(tmp_path)
    assert list(paths.socket_paths(state)) == [f"{state}/mesh.sock"] * inside
    runtime.unlink()
    runtime.mkdir()
    assert len(list(paths.socket_paths(state))) == 2


def test_a_directory_of_another_user_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.is_ours(str(tmp_path))
    assert not paths.is_ours(str(tmp_path / "none"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4711)
    assert not paths.is_ours(str(tmp_path))


def test_links_and_relative_paths_lead_to_the_same_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert paths.state_dir("link") == paths.state_dir(str(tmp_path / "real")) == paths.state_dir("./real")

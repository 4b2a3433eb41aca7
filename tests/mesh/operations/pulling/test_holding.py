"""A model that was hashed is held; one that is not what its source has is not; and how far it is is told."""

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from leader.model.model_hash import WrongHash
from leader.placement.reading import read_model
from mesh.member.stay import Stay
from mesh.operations.pulling.holding import ReadingPace, checked_hashes, hold, pool_name_of, while_telling
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from tests.mesh.operations.homes import Events, FakeHome
from tests.mesh.protocol.stage import Stage as Scene

SPEC = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=64, vocabulary=512, context=64)


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    return FakeHome(tmp_path, Scene())


def plain(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


async def held(home: FakeHome, files: list[Path], sha256: list[str]) -> Any:
    return await hold(cast(Stay, home.stay), read_model(files[0]), sha256, Events().emit)


@pytest.mark.parametrize("parts", [1, 3])
async def test_a_checked_model_is_held_and_the_pool_told(home: FakeHome, tmp_path: Path, parts: int) -> None:
    files = generate(tmp_path / "tiny.gguf", SPEC, parts=parts)
    model = await held(home, files, [plain(file).upper() for file in files])
    found = home.stay.models.find(model.root)
    assert found is not None
    assert found.files == tuple(files)
    assert (model.name, model.size) == (files[0].name, found.size)
    assert home.here.changes.count > 0


async def test_a_model_of_which_one_part_is_wrong_is_not_held(home: FakeHome, tmp_path: Path) -> None:
    files = generate(tmp_path / "tiny.gguf", SPEC, parts=2)
    with pytest.raises(WrongHash, match=r"tiny-00002-of-00002\.gguf") as caught:
        await held(home, files, [plain(files[0]), "0" * 64])
    assert caught.value.path == files[1]
    assert home.stay.models.held() == []


@pytest.mark.parametrize("sha256", [["ab" * 32] * 2, ["xy" * 32], ["ab"]])
async def test_hashes_that_are_none_are_refused_before_anything_is_read(
    home: FakeHome, tmp_path: Path, sha256: list[str]
) -> None:
    files = generate(tmp_path / "tiny.gguf", SPEC)
    with pytest.raises(MeshError, match="SHA-256"):
        await held(home, files, sha256)
    assert home.stay.models.held() == []


def test_unknown_hashes_are_left_empty() -> None:
    assert checked_hashes([], 3) == []
    assert checked_hashes(["", "AB" * 32], 2) == ["", "ab" * 32]


def test_a_model_is_called_by_its_first_file(tmp_path: Path) -> None:
    files = generate(tmp_path / "tiny.gguf", SPEC, parts=2)
    assert pool_name_of(read_model(files[1])) == "tiny-00001-of-00002.gguf"


async def test_the_pace_of_reading_is_that_of_late(autojump_clock: MockClock) -> None:
    pace = ReadingPace()
    first = pace.event("reading", 100, 1000)
    assert first == {"text": "reading", "progress": 0.1, "done": 100, "total": 1000}
    await trio.sleep(2)
    second = pace.event("reading", 300, 1000)
    assert (second["rate"], second["eta_seconds"]) == (100.0, 7.0)
    await trio.sleep(10)
    assert "rate" not in pace.event("reading", 300, 1000), "it stands still"


async def test_what_is_told_meanwhile_ends_with_the_work(autojump_clock: MockClock) -> None:
    told: list[float] = []

    async def tell() -> None:
        told.append(trio.current_time())

    async def work() -> str:
        await trio.sleep(2.5)
        return "done"

    async def failing() -> str:
        raise MeshError("no", "yes")

    began = trio.current_time()
    assert await while_telling(tell, 1.0, work) == "done"
    with pytest.raises(MeshError, match="no"):
        await while_telling(tell, 1.0, failing)
    await trio.sleep(10)
    assert [one - began for one in told] == [1.0, 2.0]

"""The shape of a model that is elsewhere, over real streams: verified, bounded, and nothing left behind."""

import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from leader.model import model_hash
from leader.model.gguf import estimate, read
from leader.model.model_info import ModelInfo
from mesh.copies import header_fetch
from mesh.copies.header_fetch import fetch_shape
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from tests.mesh.copies.sources import Scripted, Weights, honest, weights
from tests.mesh.machines import Ground, Here
from tests.mesh.net.conftest import members

SPEC = ModelSpec(layers=6, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)
PIECE = 5_000


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary files are; the header takes some pieces."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(model_hash, "PIECE", PIECE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


class Asked:
    """Anna asks the others for the shape."""

    def __init__(self, anna: Here, holders: list[Here]) -> None:
        self.anna = anna
        self.holders = holders

    async def shape(self, weights: Weights, *holders: Here) -> ModelInfo:
        asked = holders or self.holders
        endpoints, names = (
            {here.id: [here.endpoint] for here in asked},
            {here.id: here.name for here in asked},
        )
        return await fetch_shape(self.anna.streams, weights.model, endpoints, names)


@pytest.fixture
async def asked(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Asked]:
    ground = Ground(nursery, tmp_path)
    every = [await ground.machine(name) for name in ("anna", "bert", "cara")]
    for here in every:
        here.streams.trust(members(*(one.identity for one in every)))
    with trio.fail_after(60):
        yield Asked(every[0], every[1:])
    nursery.cancel_scope.cancel()
    ground.close()


def whole(tmp_path: Path, parts: int = 1) -> tuple[Weights, ModelInfo]:
    files = generate(tmp_path / "small.gguf", SPEC, parts=parts)
    held = weights(tmp_path, *(file.read_bytes() for file in files), name=files[0].name)
    return held, read(files[0])


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def of_numbers(shape: ModelInfo) -> ModelInfo:
    return replace(shape, files=())


@pytest.mark.parametrize("parts", [1, 3])
async def test_a_shape_comes_by_no_more_pieces_than_the_headers_have(
    asked: Asked, tmp_path: Path, folder: Path, parts: int
) -> None:
    held, expected = whole(tmp_path, parts)
    source = Scripted(held).at(asked.holders[0])
    assert of_numbers(await asked.shape(held, asked.holders[0])) == of_numbers(expected)
    assert 0 < len(set(source.asked)) == len(source.asked) < len(held.tree) / 2
    assert left_in(folder) == []


async def test_a_model_of_many_files_is_estimated_by_its_first(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _ = whole(tmp_path, 5)
    monkeypatch.setattr(header_fetch, "MAX_HEADERS", 4 * PIECE)
    source = Scripted(held).at(asked.holders[0])
    shape = await asked.shape(held, asked.holders[0])
    guessed = estimate(tmp_path / held.model.name, held.model.size)
    assert of_numbers(shape) == of_numbers(guessed)
    assert {held.tree.piece(number).file for number in source.asked} == {0}


async def test_a_header_that_goes_beyond_the_bound_is_refused(
    asked: Asked, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _ = whole(tmp_path)
    monkeypatch.setattr(header_fetch, "MAX_HEADERS", PIECE)
    source = Scripted(held).at(asked.holders[0])
    with pytest.raises(MeshError, match="longer than any known model's"):
        await asked.shape(held)
    assert source.asked == [0]
    assert left_in(folder) == []


async def test_a_holder_that_lies_is_passed_over(asked: Asked, tmp_path: Path) -> None:
    held, expected = whole(tmp_path)
    bert, cara = asked.holders
    liar = Scripted(held, change=lambda number, data: data[:-1] + bytes([data[-1] ^ 1])).at(bert)
    honest(cara, held)
    assert of_numbers(await asked.shape(held)) == of_numbers(expected)
    assert liar.asked == [0]


async def test_each_holders_reason_is_told_where_none_gives_it(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _ = whole(tmp_path)
    bert, cara = asked.holders
    monkeypatch.setattr(header_fetch, "ANSWER_SECONDS", 0.5)
    honest(bert, held, may_copy=lambda peer: False)

    async def silent(session: object) -> None:
        await trio.sleep_forever()

    cara.handlers["copy"] = silent
    with pytest.raises(MeshError, match=r"no machine gives the header of small\.gguf") as caught:
        await asked.shape(held)
    assert "bert: only members that may lead copy models; cara is too slow" in caught.value.message

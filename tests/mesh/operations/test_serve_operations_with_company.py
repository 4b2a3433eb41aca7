"""Serving and planning for a model that another member holds, and where a served model comes from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.control.operations import PlanArgs, ServeArgs
from mesh.operations.plan_operations import PlanOperations
from mesh.operations.serve_operations import ServeOperations
from mesh.runtime.deployment_source import source_of
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from tests.mesh.operations.homes import Events
from tests.mesh.operations.pulling.company import Company, company

SPEC = ModelSpec(layers=6, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)
SOURCE = f"hf:some/one-GGUF@{'01' * 20}/small.gguf"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path) as both:
        yield both


def held_args(root: str) -> ServeArgs:
    return {"model": "", "held": root, "source": SOURCE, "context": None, "slots": None, "layers": None}


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_model_that_another_holds_is_deployed_as_that_one_tells(
    pair: Company, tmp_path: Path, parts: int
) -> None:
    files = generate(tmp_path / "small.gguf", SPEC, parts=parts)
    model = await pair.hold(pair.bert, files, pair.anna)
    result = await ServeOperations(pair.home(pair.anna)).serve(held_args(model.root.hex()), Events().emit)
    wanted = pair.anna.node.deployment()
    assert wanted is not None
    assert (wanted.model, wanted.context, wanted.running) == (model, 256, True)
    assert result["deployment"]["source"] == source_of(wanted.options) == SOURCE
    assert pair.anna.models.held() == [], "its file is not here"


async def test_a_model_that_is_held_here_is_served_from_its_file(pair: Company, tmp_path: Path) -> None:
    files = generate(tmp_path / "small.gguf", SPEC)
    model = await pair.hold(pair.anna, files, pair.bert)
    await ServeOperations(pair.home(pair.anna)).serve(held_args(model.root.hex()), Events().emit)
    wanted = pair.anna.node.deployment()
    assert wanted is not None
    assert wanted.model == model


async def test_a_model_that_nobody_holds_is_not_served(pair: Company) -> None:
    with pytest.raises(MeshError, match="no machine that is alive and may lead holds"):
        await ServeOperations(pair.home(pair.anna)).serve(held_args("ab" * 32), Events().emit)
    assert pair.anna.node.deployment() is None


async def test_a_plan_is_made_for_a_model_that_another_holds(pair: Company, tmp_path: Path) -> None:
    model = await pair.hold(pair.bert, generate(tmp_path / "small.gguf", SPEC), pair.anna)
    told = Events()
    args: PlanArgs = {"model": None, "held": model.root.hex(), "layers": None}
    with pytest.raises(MeshError, match="no machine offers memory"):  # for no engine is there
        await PlanOperations(pair.home(pair.anna)).plan(args, told.emit)
    assert told == [{"text": "asking bert for the header of small.gguf"}], "its header was read before"

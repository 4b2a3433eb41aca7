"""What people make of models is served as it is: stacked layers, and what the engine's own tool merged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mesh.engine.types import Engine
from mesh.tools.speaking_model import speaking_model
from tests.e2e.merging import merge, split, stack
from tests.e2e.pools import alive, complete, found, holders, is_ready, join, status_when
from tests.e2e.same_split import bare_answer
from tests.e2e.test_first_light import SERVE
from tests.lab.lab import Lab
from tests.oracle.build import Oracle

STACKED = (*range(20), *range(10, 30))
MEMORY = ("--memory", "300M")
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def frankenstein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's 30 layers stacked to 40."""
    folder = tmp_path_factory.mktemp("stacked")
    return stack(trio.run(speaking_model), folder / "frankenstein.gguf", STACKED)


def count(layers: list[int]) -> int:
    """How many they are, of the first and the last."""
    return layers[1] - layers[0] + 1


def as_it_is(oracle: Oracle, model: Path, folder: Path) -> Path:
    return model


def in_parts(oracle: Oracle, model: Path, folder: Path) -> Path:
    parts = split(oracle, model, folder / "parts", 120)
    assert len(parts) >= 3
    return parts[0]


def merged_again(oracle: Oracle, model: Path, folder: Path) -> Path:
    return merge(oracle, in_parts(oracle, model, folder), folder / "merged-00001-of-00004.gguf")


@pytest.mark.parametrize("made", [as_it_is, in_parts, merged_again])
async def test_a_merge_is_planned_split_served_and_answers_as_the_bare_engine(
    lab: Lab,
    engine: Engine,
    oracle: Oracle,
    frankenstein: Path,
    tmp_path: Path,
    made: Callable[[Oracle, Path, Path], Path],
) -> None:
    model = made(oracle, frankenstein, tmp_path)
    anna, bert, cara = lab.hosts(3)
    token = found(anna, *MEMORY)
    join(bert, token, *MEMORY)
    join(cara, token, *MEMORY)
    await status_when(anna, lambda status: len(alive(status)) == 3)
    stages = anna.mesh_json("plan", model)["stages"]
    assert sum(count(stage["layers"]) for stage in stages) == len(STACKED)
    anna.mesh("serve", model, *SERVE, "--layers", "anna=0,bert=18,cara=22", timeout=120)
    status = await status_when(anna, is_ready)
    assert {name: count(layers) for name, layers in holders(status).items()} == {"bert": 18, "cara": 22}
    answer = await complete(bert, PROMPT, 24)
    assert answer == await bare_answer(engine, model, tmp_path, status, PROMPT, 24)

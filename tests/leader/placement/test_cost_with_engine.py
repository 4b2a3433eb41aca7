"""What a plan counts on is never less than what the engine takes, and hardly more, by its own word."""

from pathlib import Path

import pytest
import trio

from leader.model.engine_settings import EngineSettings
from leader.model.gguf import read
from mesh.engine.types import Engine
from mesh.tools.speaking_model import speaking_model
from tests.oracle.build import Oracle
from tests.oracle.engine_memory import NotLoaded, Share, compare

KINDS_OF_MODELS = {
    "llama-dense": "dense",
    "qwen2-dense": "dense, tied",
    "gemma2-dense": "windows, two in two",
    "gemma3-dense": "windows, by a pattern",
    "cohere2-dense": "windows, three in four",
    "gpt-oss-moe": "windows and experts",
    "deepseek-moe": "experts behind dense layers",
    "qwen2moe-moe": "shared experts",
    "qwen3moe-moe": "experts",
    "deepseek2-moe": "latent attention",
    "falcon-h1-dense": "hybrid, both in each layer",
    "qwen3next-moe": "hybrid, in turn",
    "lfm2-dense": "hybrid with convolutions",
    "nemotron_h-dense": "layers that keep nothing",
    "mamba-dense": "recurrent",
    "mamba2-dense": "recurrent, by groups",
    "glm4moe-moe": "draft layers",
    "deepseek32-moe": "sparse attention",
}
ONE_KIND_OF_LAYER = {
    "deepseek4-moe", "dots3note-moe", "glm5-next-moe", "hy_v4-moe", "minimax-m3-moe", "qwen4exp-moe",
}  # fmt: skip
"""Sparse attention of which a split leaves one device layers without: it is counted on all."""


def shares(engine: Engine, file: Path, settings: EngineSettings, folder: Path) -> list[Share]:
    info = read(file)
    half = info.n_layers // 2
    return compare(engine, info, settings, [half, info.n_layers - half], folder)


def judge(name: str, found: list[Share]) -> None:
    for share in found:
        assert not share.lacking(), f"{name} on {share.device}: {share}"
        if name not in ONE_KIND_OF_LAYER:
            assert share.excess <= 0, f"{name} on {share.device}: {share}"


@pytest.mark.parametrize("name", KINDS_OF_MODELS)
@pytest.mark.parametrize("settings", [EngineSettings(1024, 2), EngineSettings(1024, 4, "q8_0")], ids=str)
def test_each_kind_of_model_takes_what_is_counted(
    engine: Engine, oracle: Oracle, tmp_path: Path, name: str, settings: EngineSettings
) -> None:
    judge(name, shares(engine, oracle.models / f"{name}.gguf", settings, tmp_path))


def test_no_model_that_the_engine_can_write_takes_more(
    engine: Engine, oracle: Oracle, tmp_path: Path
) -> None:
    settings = EngineSettings(2048)
    judged = 0
    for file in sorted(oracle.models.glob("*.gguf")):
        try:
            found = shares(engine, file, settings, tmp_path)
        except NotLoaded:
            continue
        judge(file.stem, found)
        judged += 1
    assert judged > 100


@pytest.mark.parametrize(
    "name",
    ["llama-dense", "qwen2-dense", "llama-moe", "deepseek2-moe", "falcon-h1-dense", "mamba-dense"],
)
def test_a_long_context_takes_what_is_counted(
    engine: Engine, oracle: Oracle, tmp_path: Path, name: str
) -> None:
    judge(name, shares(engine, oracle.models / f"{name}.gguf", EngineSettings(32768, 2), tmp_path))


@pytest.mark.parametrize("kv", ["f16", "q8_0"])
@pytest.mark.parametrize("context", [2048, 32768])
def test_a_real_model_takes_what_is_counted_and_hardly_less(
    engine: Engine, tmp_path: Path, context: int, kv: str
) -> None:
    found = shares(engine, trio.run(speaking_model), EngineSettings(context, kv=kv), tmp_path)
    judge("SmolLM2", found)
    assert all(share.ratio <= 1.1 for share in found)


def test_one_device_has_a_graphs_inputs_once(engine: Engine, oracle: Oracle, tmp_path: Path) -> None:
    info = read(oracle.models / "llama-dense.gguf")
    settings = EngineSettings(16384)
    judge("llama-dense", compare(engine, info, settings, [info.n_layers], tmp_path))

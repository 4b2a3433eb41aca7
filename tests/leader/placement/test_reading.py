"""What comes before and after placing."""

from dataclasses import replace
from pathlib import Path

from leader.model import gguf
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from leader.placement.reading import read_header, read_headers, read_model
from mesh.tools.generator import ModelSpec, generate
from tests.leader.shapes import GIB, host, model_info, worker

SPEC = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=64, vocabulary=512, context=64, name="tiny")


def test_a_model_is_read_from_its_file(tmp_path: Path) -> None:
    file = generate(tmp_path / "model.gguf", SPEC)[0]
    size = file.stat().st_size
    assert read_model(file) == gguf.read(file)
    assert read_header(file, size) == read_headers(file, [size]) == gguf.read(file)


def test_a_stage_names_its_first_and_its_last_layer() -> None:
    plan = place(model_info(4), [host(GIB), worker(1, GIB)], EngineSettings(512, 1), fixed={worker(1).key: 3})
    assert sorted(stage.span for stage in plan.stages if stage.layers) in (
        [(0, 0), (1, 3)],
        [(0, 2), (3, 3)],
    )


def test_a_stage_with_the_head_alone_names_no_layer() -> None:
    [stage] = place(model_info(4), [host(GIB)], EngineSettings(512, 1)).stages
    first, last = replace(stage, layers=0).span
    assert first > last

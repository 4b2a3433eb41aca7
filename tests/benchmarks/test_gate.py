"""The gate's benchmark: every way passes bytes, and the report judges the program's own."""

import argparse
from pathlib import Path

import pytest
import trio

from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from mesh.wire.errors import MeshError
from tests.benchmarks import gate
from tests.benchmarks.gate import Measured, _measure, _measure_door, _report
from tests.benchmarks.gate_node import LAYERS, _shares
from tests.benchmarks.gate_ways import WAYS

OPTIONS = argparse.Namespace(repeats=3, ways="splice,tls", size=1, nice=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(
        tmp_path_factory.mktemp("model") / "small.gguf", spec_of_size(12 << 20, ModelSpec(LAYERS))
    )[0]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_loads_a_model_and_answers(engine: Engine, model: Path, way: str) -> None:
    measured = Measured()
    trio.run(_measure, way, engine, model, 1, measured)
    assert len(measured.ratios) == 1
    assert min(measured.gated + measured.direct) > 0
    assert min(measured.load_direct, measured.load_gated) > 0


def test_a_member_is_answered_with_the_door_and_without(engine: Engine, model: Path) -> None:
    measured = trio.run(_measure_door, engine, model, 2)
    assert len(measured.speeds) == len(measured.firsts) == 2
    report = _report(OPTIONS, model, {}, measured)
    assert [row.what for row in report.rows] == ["door"]
    assert [goal.measured is not None for goal in report.goals] == [False, True, True]


def test_the_goal_is_the_median_of_pairs_of_the_programs_own_way(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"x")
    own = Measured([10.0, 20.0, 5.0], [9.8, 20.0, 1.0], 2.0, 3.0)
    report = _report(OPTIONS, model, {"splice": own, "tls": Measured([1.0], [0.5])})
    (goal,) = report.goals
    assert (goal.measured, goal.met) == (0.98, True)
    assert [row.what for row in report.rows] == ["splice", "tls"]
    assert report.rows[1].cells["gated / hand-wired"].median == 0.5
    (missed,) = _report(OPTIONS, model, {"tls": own}).goals
    assert not missed.met


def test_layers_are_shared_so_that_the_last_has_the_head() -> None:
    assert _shares(25, 2) == [12, 13]
    assert _shares(25, 3) == [8, 8, 9]


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(MeshError, match="pigeon"):
        gate.run(argparse.Namespace(ways="splice,pigeon", repeats=1, size=1, nice=0))

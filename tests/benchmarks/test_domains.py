"""The benchmark of domains: it measures what it says, and judges the median of pairs."""

from pathlib import Path

import pytest
import trio

from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate
from tests.benchmarks import domains
from tests.benchmarks.domains import DOMAINS, Measured, _measure, _report


def test_every_domain_has_its_turns(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "WORDS", 100)
    model = generate(tmp_path / "small.gguf", ModelSpec(layers=2, n_embd=128))[0]
    measured = Measured()
    trio.run(_measure, engine, model, 2, measured)
    assert len(measured.six) == len(measured.single) == 2 * len(DOMAINS)
    assert len(measured.cold) == len(DOMAINS) + 1
    assert min(measured.six + measured.single + measured.cold) > 0


def test_the_goal_is_the_median_of_pairs(tmp_path: Path) -> None:
    measured = Measured([20.0, 30.0, 90.0], [10.0, 20.0, 30.0], [100.0], [1.0, 1.0, 0.0])
    report = _report(3, tmp_path / "model.gguf", measured)
    (goal,) = report.goals
    assert (goal.measured, goal.met) == (2.0, True)
    assert report.rows[0].cells["six / single"].maximum == 3.0
    assert "67%" in report.notes[0]


def test_what_was_not_measured_is_missed(tmp_path: Path) -> None:
    (goal,) = _report(0, tmp_path / "model.gguf", Measured()).goals
    assert not goal.met

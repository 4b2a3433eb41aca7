import json
from pathlib import Path
from typing import Any

import pytest

from simulations.__main__ import main
from simulations.measures.report import PLANNED_RUNS, PlannedRun, produce

FEW = (
    PlannedRun("detect", 5, 1, 3, options=("--kinds", "silent,process")),
    PlannedRun("detect", 5, 1, 3, least=3, options=("--kinds", "pause,one-way")),
    PlannedRun("converge", 5, 1, 4),
    PlannedRun("join", 5, 1, 3),
    PlannedRun("idle", 5, 1, 5, 2, repeats="--seconds"),
    PlannedRun("failover", 5, 1, 3),
    PlannedRun("falsedeaths", 5, 1, 2, 1, ("--loss", "0.2", "--hours", "0.1"), "--probes"),
    PlannedRun("throughput", 1000, 1, 2, cost=1e9),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.setattr("simulations.measures.report.PLANNED_RUNS", FEW)
    assert main(["report", "--out", str(tmp_path / "out"), "--minutes", "10", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "report"
    assert told["parameters"]["left_out"] == ["throughput at n=1000"]
    assert {goal["met"] for goal in told["goals"]} <= {True, False}
    return tmp_path / "out"


def test_a_report_holds_a_table_and_curves_of_all_that_was_measured(folder: Path) -> None:
    text = (folder / "REPORT.md").read_text()
    assert "| silent machine known everywhere, n=5" in text
    assert "python -m simulations converge --nodes 5 --seeds 4" in text
    assert "Left out, for the time was too short: throughput at n=1000." in text
    names = {path.name for path in folder.iterdir()}
    for curve in (
        "silent-machine", "dead-process", "pause", "one-way-loss", "failover", "converge", "join", "idle",
        "false-deaths",
    ):  # fmt: skip
        assert {f"{curve}.png", f"{curve}.svg"} <= names
        assert f"({curve}.svg)" in text
    assert (folder / "idle.png").read_bytes()[:4] == b"\x89PNG"


def test_the_repeats_are_what_the_time_buys(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def run(command: str, arguments: Any) -> dict[str, Any]:
        asked.append([command, *arguments])
        return {"name": command, "parameters": {}, "results": {}, "goals": []}

    produce(tmp_path, 1.0, run, (PlannedRun("join", 7, 1, 500, 3),), curves=False)
    assert asked == [["join", "--nodes", "7", "--seeds", "3"], ["join", "--nodes", "7", "--seeds", "500"]]
    assert not list(tmp_path.glob("*.svg"))


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["report", "--out", str(tmp_path / "file" / "out"), "--minutes", "0.01"]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_a_full_report_has_every_measure_at_every_size() -> None:
    sizes: dict[str, set[int]] = {}
    for planned in PLANNED_RUNS:
        sizes.setdefault(planned.command, set()).add(planned.nodes)
    assert sizes["detect"] == sizes["converge"] == sizes["join"] == {10, 100, 1000}
    assert sizes["idle"] == {10, 100, 1000, 10_000}
    assert set(sizes) == {"detect", "falsedeaths", "converge", "join", "idle", "failover", "throughput"}

"""The proof for machines with a GPU, run for real on devices that need none."""

from pathlib import Path

import pytest

from tests.gpu.proof import Setting, run

MODEL_BYTES = 40_000_000


@pytest.mark.usefixtures("engine")
def test_the_proof_holds_with_parts_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH_LLAMA_DIR", raising=False)
    report = run(Setting("cpu", MODEL_BYTES), tmp_path)
    assert [goal for goal in report.goals if not goal.met] == [], report.as_object()

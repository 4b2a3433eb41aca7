"""A harness under the real fuzzer, where that is installed."""

import importlib.util
from pathlib import Path

import pytest

from tests.fuzz.campaign import fuzz
from tests.fuzz.harnesses import HARNESSES

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: uv sync --group fuzz"
)


def test_a_harness_runs_its_inputs_and_new_ones_guided_by_coverage(tmp_path: Path) -> None:
    turn = fuzz(HARNESSES["hello"], tmp_path, 2000, 60.0, 1)
    assert turn.crash == ""
    assert turn.inputs == 2000
    assert turn.coverage > 5

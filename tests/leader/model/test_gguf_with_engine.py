"""Whatever the pinned engine loads, ours reads."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.leader.model.gguf_bytes import GgufFile, read_gguf
from tests.oracle.build import Oracle
from tests.oracle.judge import judge
from tests.oracle.odd_files import odd_files

EXAMPLES = 60
LEAST_ACCEPTED = EXAMPLES // 6


@pytest.fixture(scope="module")
def sound(oracle: Oracle) -> list[GgufFile]:
    """The tiny files of all architectures."""
    return [read_gguf(path) for path in sorted(oracle.models.glob("*.gguf"))]


def test_every_architecture_that_the_engine_writes_is_read(oracle: Oracle) -> None:
    verdicts = {path.name: judge(oracle, path) for path in sorted(oracle.models.glob("*.gguf"))}
    assert len(verdicts) >= 90
    assert sum(verdict.accepted for verdict in verdicts.values()) >= 90
    assert {name: verdict for name, verdict in verdicts.items() if verdict.refusal} == {}


def test_an_odd_file_that_the_engine_loads_is_read(
    oracle: Oracle, sound: list[GgufFile], tmp_path: Path
) -> None:
    accepted = 0

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(file=odd_files(sound))
    def examine(file: GgufFile) -> None:
        nonlocal accepted
        verdict = judge(oracle, file.write(tmp_path / "odd.gguf"))
        accepted += verdict.accepted
        assert not verdict.wrong, verdict

    examine()
    assert accepted >= LEAST_ACCEPTED, "the engine refuses nearly all: the grammar asks it nothing"

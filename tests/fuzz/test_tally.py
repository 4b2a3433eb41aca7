"""What is counted over runs."""

from pathlib import Path

import pytest

from tests.fuzz.tally import Tally


def test_inputs_and_crashes_add_up_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "tally.json"
    Tally(path).add("fact", 1000, False)
    Tally(path).add("fact", 500, True)
    Tally(path).add("node", 7, False)
    tally = Tally(path)
    assert tally.inputs == {"fact": 1500, "node": 7}
    assert tally.crashes == {"fact": 1, "node": 0}
    assert tally.total == 1507


def test_two_runs_at_a_time_count_beside_each_other(tmp_path: Path) -> None:
    one, other = Tally(tmp_path / "tally.json"), Tally(tmp_path / "tally.json")
    one.add("fact", 1000, False)
    other.add("node", 7, False)
    one.add("fact", 1, False)
    assert one.inputs == {"fact": 1001, "node": 7}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"inputs": 1}', '{"inputs": {"a": "x"}, "crashes": {}}', '{"inputs": {}}']
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tally.json"
    path.write_text(content)
    tally = Tally(path)
    tally.add("fact", 1, False)
    assert Tally(path).total == 1

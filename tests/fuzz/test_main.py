"""The command."""

import json
from pathlib import Path

import pytest

from mesh.wire.errors import MeshError
from tests.fuzz import __main__ as command
from tests.fuzz.campaign import Turn
from tests.fuzz.harness import Harness
from tests.fuzz.tally import GOAL, Tally


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Turn]:
    """What the harnesses that are run are to come to, in turn; without a fuzzer."""
    given: list[Turn] = []

    def fuzz(harness: Harness, folder: Path, runs: int, seconds: float, seed: int) -> Turn:
        assert folder == tmp_path / "fuzz" / harness.name
        assert (runs, seconds) == (50, 30.0)
        return given.pop(0)

    monkeypatch.setenv("MESH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(command, "fuzz", fuzz)
    monkeypatch.setattr(command, "require_atheris", lambda: None)
    return given


def run(*more: str) -> int:
    return command.main(["--runs", "50", "--minutes", "0.5", *more])


def test_one_object_tells_of_each_turn_and_of_all_runs(
    turns: list[Turn], capsys: pytest.CaptureFixture[str]
) -> None:
    turns += [Turn("fact", 50, 1, 2, 3, 4, 5.0), Turn("hello", 40, 1, 2, 3, 4, 5.0)] * 2
    assert run("--only", "fact", "--only", "hello", "--json") == 0
    capsys.readouterr()
    assert run("--only", "fact", "--only", "hello", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [turn["name"] for turn in told["turns"]] == ["fact", "hello"]
    assert told["inputs"] == {"fact": 100, "hello": 80}
    assert told["total"] == 180


def test_a_table_shows_what_was_found_and_makes_it_a_failure(
    turns: list[Turn], capsys: pytest.CaptureFixture[str]
) -> None:
    turns.append(Turn("fact", 50, 1, 2, 3, 4, 5.0, "KeyError: 1", "/crashes/1"))
    assert run("--only", "fact") == 1
    captured = capsys.readouterr()
    assert "50 inputs in all runs, of 10,000,000" in captured.out
    assert "KeyError: 1 /crashes/1" in captured.err


def test_a_check_wants_the_whole_number(turns: list[Turn], tmp_path: Path) -> None:
    turns += [Turn("fact", 50, 1, 2, 3, 4, 5.0)] * 2
    assert run("--only", "fact", "--check") == 1
    Tally(tmp_path / "fuzz" / "tally.json").add("node", GOAL, False)
    assert run("--only", "fact", "--check") == 0


def test_without_the_fuzzer_nothing_is_pretended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setenv("MESH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MeshError):
        command.require_atheris()
    assert command.main([]) == 1
    assert "uv sync --group fuzz" in capsys.readouterr().err
    assert not (tmp_path / "fuzz").exists()

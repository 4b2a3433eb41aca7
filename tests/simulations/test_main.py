import json

import pytest

from mesh.protocol.arbiter import Arbiter
from simulations.__main__ import main


def test_chaos_prints_one_object_with_its_goals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "--seeds", "2", "--nodes", "3", "--json", "--check"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["name"] == "chaos"
    assert report["parameters"] == {"seeds": 2, "first_seed": 1, "nodes": 3}
    assert report["results"]["events"] > 100
    assert report["goals"][0]["met"] is True


def test_chaos_prints_its_goals_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "--seeds", "1", "--nodes", "2"]) == 0
    assert "ok   violated properties: 0 violations" in capsys.readouterr().out


def test_a_violation_fails_only_with_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Arbiter, "_bound", lambda self, grant: False)
    arguments = ["chaos", "--seeds", "40", "--nodes", "4", "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    seed = report["results"]["failed"][0]["seed"]
    assert main(["replay", str(seed), "--nodes", "4", "--check"]) == 1
    assert "held it" in capsys.readouterr().out

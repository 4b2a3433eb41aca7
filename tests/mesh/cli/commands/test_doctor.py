import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mesh.cli.conftest import Terminal

CHECKS = [
    {"check": "compiler", "ok": True, "detail": "g++ 12", "hint": ""},
    {"check": "disk", "ok": False, "detail": "1 GiB free", "hint": "free 3 GiB"},
]


@pytest.mark.parametrize(("checks", "code"), [(CHECKS, 1), (CHECKS[:1], 0)], ids=["something", "nothing"])
def test_doctor_fails_when_something_is_wrong(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch, checks: list[dict[str, Any]], code: int
) -> None:
    monkeypatch.setitem(sys.modules, "mesh.tools.doctor", SimpleNamespace(check=lambda state: checks))
    outcome = mesh.run("doctor")
    assert outcome.code == code
    assert outcome.out.splitlines()[0] == ("ok    compiler  g++ 12")
    assert ("hint: free 3 GiB" in outcome.out) is (code == 1)
    outcome = mesh.run("doctor", "--json")
    assert (outcome.code, json.loads(outcome.out)) == (code, {"ok": code == 0, "checks": checks})


def test_a_note_is_no_fault_but_its_hint_is_shown(mesh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    note = {"check": "version", "ok": True, "detail": "shed is old", "hint": "upgrade shed", "note": True}
    monkeypatch.setitem(sys.modules, "mesh.tools.doctor", SimpleNamespace(check=lambda state: [note]))
    outcome = mesh.run("doctor")
    assert outcome.code == 0
    assert outcome.out == "note  version  shed is old\n               hint: upgrade shed\n"

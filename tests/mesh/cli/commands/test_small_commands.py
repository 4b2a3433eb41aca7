"""stop, models, invite, plan, leave: a question, its answer, and what is printed of it."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal

INVITED = {"token": "mesh1:abc", "rights": ["work", "lead"], "expires": 604800.0, "uses": 20}


async def test_stop_says_what_was_stopped(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["stop"] = {"model": "tiny.gguf"}
    assert (await mesh("stop")).out == "stopped tiny.gguf\n"
    sidecar.answers["stop"] = {"model": None}
    assert (await mesh("stop")).out == "nothing was being served\n"


async def test_models_names_who_holds_them(mesh: Terminal, sidecar: FakeSidecar) -> None:
    held = {"name": "tiny.gguf", "size": 1 << 30, "sha256": "ab" * 32, "serving": True}
    sidecar.answers["models"] = {"models": [{**held, "members": [examples.ALPHA, examples.BETA]}]}
    sidecar.answers["status"] = examples.status()
    assert (await mesh("models")).out.splitlines()[1].split() == [
        *("tiny.gguf", "1.0", "GiB", "abababababab", "alpha,", "beta", "serving"),
    ]
    assert (await mesh("models", "--json")).json() == sidecar.answers["models"]


async def test_a_pool_without_models_says_how_to_bring_one(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["models"] = {"models": []}
    assert "mesh serve MODEL.gguf" in (await mesh("models")).out


async def test_an_invite_is_one_line_to_copy(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["invite"] = INVITED
    outcome = await mesh("invite", "--rights", "lead,work", "--expires", "7d", "--uses", "20")
    assert sidecar.asked == [("invite", {"rights": ["work", "lead"], "expires": 604800.0, "uses": 20})]
    assert outcome.out == "mesh join mesh1:abc\n"
    assert outcome.err == "for 20 machines, with the rights work, lead, good for 7 d\n"


async def test_an_invite_is_modest_unless_told_otherwise(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["invite"] = INVITED
    assert (await mesh("invite", "--json")).json()["token"] == "mesh1:abc"
    assert sidecar.asked == [("invite", {"rights": ["work"], "expires": 86400.0, "uses": 1})]


@pytest.mark.parametrize("option", [["--rights", "all"], ["--expires", "never"], ["--uses", "-1"]])
def test_an_invite_for_nonsense_is_a_usage_error(mesh: Terminal, option: list[str]) -> None:
    assert mesh.run("invite", *option).code == 2


async def test_a_plan_shows_every_term(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["plan"] = examples.plan()
    outcome = await mesh("plan", "--layers", "alpha=8")
    assert sidecar.asked == [("plan", {"model": None, "layers": {"alpha": 8}})]
    assert (
        outcome.out
        == """\
tiny.gguf: 16 layers, 4096 tokens of context, 1 slot
12.5 tokens/s predicted, 80.00 ms a token

MILLISECONDS  HOLDS         RTT  LAYERS   HEAD    SUM
alpha         0-7          1.50   30.00      -  31.50
beta          8-15 + head     -   30.00  18.50  48.50

MEMORY   OFFERED    LAYERS     HEAD
alpha   60.0 MiB  30.0 MiB        -
beta    80.0 MiB  30.0 MiB  9.0 MiB

LEFT OUT  WHY
gamma     another llama.cpp

It does not fit on one machine.
"""
    )
    assert (await mesh("plan", "--json")).json() == examples.plan()


def test_a_plan_for_a_pool_in_a_file_needs_no_sidecar(
    mesh: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def plan_from_file(*args: Any) -> dict[str, Any]:
        asked.append(args)
        return examples.plan()

    planning = SimpleNamespace(plan_from_file=plan_from_file)
    monkeypatch.setitem(sys.modules, "mesh.root.planning", planning)
    model, pool = tmp_path / "m.gguf", tmp_path / "pool.json"
    model.write_bytes(b"GGUF")
    outcome = mesh.run("plan", str(model), "--pool", str(pool), "--json")
    assert outcome.json() == examples.plan()
    assert asked == [(pool, model, None)]


async def test_leaving_tells_the_sidecar_and_waits_for_its_end(
    mesh: Terminal, sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def ended(pid: int) -> bool:
        waited.append(pid)
        return True

    monkeypatch.setattr("mesh.cli.spawning.wait_until_it_ended", ended)
    sidecar.answers["leave"] = {"pool": {"id": "p", "name": "attic"}, "pid": 4711}
    outcome = await mesh("leave", "--purge")
    assert (outcome.code, outcome.out) == (0, "left pool attic\n")
    assert sidecar.asked == [("leave", {"purge": True})]
    assert waited == [4711]


async def test_a_sidecar_that_does_not_end_is_an_error(
    mesh: Terminal, sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.cli.spawning.wait_until_it_ended", lambda pid: False)
    sidecar.answers["leave"] = {"pool": {"id": "p", "name": "attic"}, "pid": 4711}
    outcome = await mesh("leave")
    assert outcome.code == 1
    assert "kill -9 4711" in outcome.err


def test_without_a_sidecar_leaving_forgets_the_pool(mesh: Terminal, state_dir: Path) -> None:
    from mesh.root.state import StateDir
    from mesh.wire.identity import pool_id

    StateDir(state_dir).enter(pool_id(bytes(32)))
    assert mesh.run("leave").code == 0
    assert StateDir(state_dir).current_pool() is None
    assert mesh.run("leave").code == 3


def test_purging_without_a_sidecar_removes_the_state(mesh: Terminal, state_dir: Path) -> None:
    (state_dir / "identity.key").write_bytes(bytes(32))
    assert mesh.run("leave", "--purge").code == 0
    assert not state_dir.exists()


def test_where_never_a_node_was_leaving_creates_nothing(mesh: Terminal, tmp_path: Path) -> None:
    mesh.state_dir = tmp_path / "none"
    assert mesh.run("leave", "--purge").code == 3
    assert not mesh.state_dir.exists()


CHECKS = [
    {"check": "compiler", "ok": True, "detail": "g++ 12", "hint": ""},
    {"check": "disk", "ok": False, "detail": "1 GiB free", "hint": "free 3 GiB"},
]


@pytest.mark.parametrize(("checks", "code"), [(CHECKS, 1), (CHECKS[:1], 0)], ids=["something", "nothing"])
def test_doctor_fails_when_something_is_wrong(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch, checks: list[dict[str, Any]], code: int
) -> None:
    monkeypatch.setitem(sys.modules, "mesh.root.doctor", SimpleNamespace(check=lambda state: checks))
    outcome = mesh.run("doctor")
    assert outcome.code == code
    assert outcome.out.splitlines()[0] == ("ok    compiler  g++ 12")
    assert ("hint: free 3 GiB" in outcome.out) is (code == 1)
    outcome = mesh.run("doctor", "--json")
    assert (outcome.code, json.loads(outcome.out)) == (code, {"ok": code == 0, "checks": checks})


def test_the_demo_gives_its_exit_code(mesh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "mesh.root.demo", SimpleNamespace(main=lambda as_json: 7 if as_json else 0)
    )
    assert mesh.run("demo").code == 0
    assert mesh.run("demo", "--json").code == 7

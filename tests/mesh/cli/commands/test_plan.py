import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal


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
    monkeypatch.setitem(sys.modules, "mesh.operations.plan", planning)
    model, pool = tmp_path / "m.gguf", tmp_path / "pool.json"
    model.write_bytes(b"GGUF")
    outcome = mesh.run("plan", str(model), "--pool", str(pool), "--json")
    assert outcome.json() == examples.plan()
    assert asked == [(pool, model, None, {}, None)]


async def test_a_plan_takes_the_options_of_serve(
    mesh: Terminal, sidecar: FakeSidecar, tmp_path: Path
) -> None:
    sidecar.answers["plan"] = examples.plan()
    options = ("--ctx", "8k", "--slots", "2", "--kv", "q8_0", "--embeddings", "--mmproj", "off")
    await mesh("plan", *options, "--layers", "beta/CUDA0=3")
    (asked,) = sidecar.asked
    assert asked[1] == {
        "model": None,
        "layers": {"beta/CUDA0": 3},
        "context": 8192,
        "slots": 2,
        "kv": "q8_0",
        "embeddings": True,
        "projector": "",
    }


async def test_a_held_model_is_planned_by_its_name(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["plan"] = examples.plan()
    held = {"name": "tiny.gguf", "size": 1, "sha256": "d" * 64, "members": [], "serving": False}
    sidecar.answers["models"] = {"models": [held]}
    assert (await mesh("plan", "Tiny")).code == 0
    assert sidecar.asked[-1] == ("plan", {"model": None, "held": "d" * 64, "layers": None})


def test_a_model_of_the_hub_has_to_be_pulled_before_it_is_planned(mesh: Terminal) -> None:
    outcome = mesh.run("plan", "hf:owner/repo:Q4_0")
    assert outcome.code == 1
    assert "mesh pull hf:owner/repo:Q4_0 downloads it" in outcome.err

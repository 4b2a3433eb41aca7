from pathlib import Path
from typing import Any

import pytest

from mesh.cli.commands import serve
from mesh.wire.errors import MeshError
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    return file


def served(state: str, **changes: Any) -> dict[str, Any]:
    status = examples.status()
    deployment = {**status["deployment"], "state": state}
    return {"deployment": deployment, "plan": status["plan"], "api": status["api"], **changes}


async def test_the_sidecar_gets_the_absolute_path_and_every_option(
    mesh: Terminal, sidecar: FakeSidecar, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.answers["serve"] = served("loading", plan=None)
    monkeypatch.chdir(model.parent)
    options = ["--ctx", "512", "--slots", "2", "--layers", "alpha=9,beta=7", "--copies", "2"]
    outcome = await mesh("serve", "tiny.gguf", *options)
    assert outcome.code == 0
    assert sidecar.asked == [
        (
            "serve",
            {
                "model": str(model),
                "context": 512,
                "slots": 2,
                "layers": {"alpha": 9, "beta": 7},
                "kv": None,
                "embeddings": False,
                "copies": 2,
                "wait": False,
            },
        )
    ]
    assert outcome.out.startswith("tiny.gguf: loading; follow it with: mesh --state-dir ")


async def test_what_the_engine_is_to_do_is_told_with_the_projectors_file(
    mesh: Terminal, sidecar: FakeSidecar, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.answers["serve"] = served("loading", plan=None)
    monkeypatch.chdir(model.parent)
    (model.parent / "mmproj.gguf").write_bytes(b"GGUF" + bytes(100))
    options = ["--kv", "q8_0", "--embeddings", "--mmproj", "mmproj.gguf"]
    assert (await mesh("serve", "tiny.gguf", *options)).code == 0
    ((_, asked),) = sidecar.asked
    assert (asked["kv"], asked["embeddings"]) == ("q8_0", True)
    assert asked["projector"] == str(model.parent / "mmproj.gguf")
    assert (await mesh("serve", "tiny.gguf", "--mmproj", "off")).code == 0
    assert sidecar.asked[-1][1]["projector"] == "", "none, whatever lies beside the model"
    assert "projector" not in asked or "projector_held" not in asked


async def test_a_projector_that_the_pool_holds_is_named_as_a_model_is(
    mesh: Terminal, sidecar: FakeSidecar, model: Path
) -> None:
    sidecar.answers["serve"] = served("loading", plan=None)
    entry = {"name": "mmproj-F16.gguf", "size": 9, "sha256": "ab" * 32, "members": [], "serving": False}
    sidecar.answers["models"] = {"models": [entry]}
    assert (await mesh("serve", str(model), "--mmproj", "mmproj-f16")).code == 0
    assert sidecar.asked[-1][1]["projector_held"] == "ab" * 32
    outcome = await mesh("serve", str(model), "--mmproj", "other")
    assert outcome.code == 1
    assert "the pool holds no model called other" in outcome.err


async def test_another_form_of_the_context_is_a_usage_error(mesh: Terminal, model: Path) -> None:
    outcome = await mesh("serve", str(model), "--kv", "q2_k")
    assert outcome.code == 2
    assert "q8_0" in outcome.err


async def test_waiting_shows_progress_and_then_where_the_layers_are(
    mesh: Terminal, sidecar: FakeSidecar, model: Path
) -> None:
    sidecar.answers["serve"] = served("ready")
    sidecar.answers["status"] = examples.status()
    sidecar.events["serve"] = [{"text": "loading tiny.gguf", "state": "loading", "progress": 0.5}]
    outcome = await mesh("serve", str(model), "--wait")
    assert outcome.err == " 50%  loading tiny.gguf\n"
    assert outcome.out == (
        "tiny.gguf is ready at http://127.0.0.1:50080/v1\n"
        "alpha 0-7 -> beta 8-15 + head  (12.5 tokens/s predicted)\n"
    )


async def test_a_model_that_does_not_fit_is_said_as_the_leader_says_it(
    mesh: Terminal, sidecar: FakeSidecar, model: Path
) -> None:
    sidecar.answers["serve"] = MeshError("40.0 MiB are missing: alpha offers 60.0 MiB", "add a machine")
    outcome = await mesh("serve", str(model), "--wait")
    assert outcome.code == 1
    assert outcome.err == "mesh: 40.0 MiB are missing: alpha offers 60.0 MiB\nhint: add a machine\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "is no GGUF file"), (b"PK\x03\x04zip", "is no GGUF file")],
    ids=["missing", "empty", "something else"],
)
async def test_what_is_no_model_is_refused_before_anyone_is_asked(
    mesh: Terminal, sidecar: FakeSidecar, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "bad.gguf"
    if content is not None:
        await _write(file, content)
    outcome = await mesh("serve", str(file))
    assert (outcome.code, sidecar.asked) == (1, [])
    assert said in outcome.err


async def _write(file: Path, content: bytes) -> None:
    import trio

    await trio.Path(file).write_bytes(content)


@pytest.mark.parametrize(
    "option", [["--ctx", "0"], ["--slots", "-1"], ["--layers", "alpha"], ["--copies", "many"]]
)
def test_nonsense_in_options_is_a_usage_error(mesh: Terminal, model: Path, option: list[str]) -> None:
    assert mesh.run("serve", str(model), *option).code == 2


def test_a_directory_is_no_model(mesh: Terminal, tmp_path: Path) -> None:
    outcome = mesh.run("serve", str(tmp_path))
    assert outcome.code == 1
    assert "Is a directory" in outcome.err


def test_who_stops_waiting_is_told_that_this_stops_nothing(
    mesh: Terminal, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "ask_sidecar", interrupted)
    outcome = mesh.run("serve", str(model), "--wait")
    assert outcome.code == 130
    assert "stops nothing; see: mesh --state-dir" in outcome.err

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
                "copies": 2,
                "wait": False,
            },
        )
    ]
    assert outcome.out.startswith("tiny.gguf: loading; follow it with: mesh --state-dir ")


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

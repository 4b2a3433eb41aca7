from pathlib import Path
from typing import Any

import pytest

from mesh.cli.models.model_argument import what_is_meant
from mesh.hub.references import FileReference, HubReference
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.fake_hub import REPO, FakeHub

HELD: dict[str, Any] = {
    "models": [
        {"name": "tiny.gguf", "size": 1 << 30, "sha256": "d" * 64, "members": ["b" * 26], "serving": False}
    ]
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.mark.parametrize("text", ["tiny", "TINY.gguf", "d" * 12])
async def test_a_held_model_is_served_by_its_name(mesh: Terminal, owner: FakeSidecar, text: str) -> None:
    owner.answers["models"] = HELD
    assert (await mesh("serve", text)).code == 0
    (served,) = [args for name, args in owner.asked if name == "serve"]
    assert (served["model"], served["held"]) == ("", "d" * 64)
    assert "sha256" not in served


async def test_a_file_here_goes_before_a_held_model_of_its_name(
    mesh: Terminal, owner: FakeSidecar, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    assert (await mesh("serve", "tiny.gguf")).code == 0
    (served,) = [args for name, args in owner.asked if name == "serve"]
    assert served["model"] == str(tmp_path / "tiny.gguf")


@pytest.mark.parametrize(("beside", "meant"), [(["m-00001-of-00003.gguf"], 3), ([], 1)])
async def test_a_file_named_like_a_part_is_one_where_others_are_beside_it(
    mesh: Terminal, owner: FakeSidecar, tmp_path: Path, beside: list[str], meant: int
) -> None:
    owner.answers["hold"] = {"name": "m", "size": 1, "sha256": "d" * 64}
    for name in ("m-00002-of-00003.gguf", *beside):
        (tmp_path / name).write_bytes(b"GGUF")
    await mesh("pull", "m-00002-of-00003.gguf")
    (held,) = [args for name, args in owner.asked if name == "hold"]
    assert len(held["files"]) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llama3", "mesh: the pool holds no model called llama3\n"),
        ("tin", "hint: did you mean tiny? it holds tiny; one of the hub is called hf:OWNER/REPO"),
        ("toy.gguf", "mesh: there is no file toy.gguf here, and the pool holds no model called toy.gguf\n"),
        ("folder", "mesh: folder is a folder\nhint: name the .gguf file in it\n"),
    ],
)
async def test_a_name_that_nothing_has_is_answered_helpfully(
    mesh: Terminal, owner: FakeSidecar, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    owner.answers["models"] = HELD
    for command in ("serve", "pull", "plan"):
        outcome = await mesh(command, text)
        assert outcome.code == 1
        assert said in outcome.err


async def test_a_folder_that_is_called_like_a_repository_is_a_folder(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub, tmp_path: Path
) -> None:
    (tmp_path / REPO).mkdir(parents=True)
    outcome = await mesh("serve", REPO)
    assert (outcome.code, hub.asked) == (1, [])
    assert "Is a directory\nhint: name the .gguf file in it" in outcome.err


async def test_a_path_that_may_be_one_in_a_repository_is_told_how_that_is_called(
    mesh: Terminal, owner: FakeSidecar, tmp_path: Path
) -> None:
    told = f"a file of the hub is called hf:{REPO}/m.gguf"
    assert told in (await mesh("serve", f"{REPO}/m.gguf")).err
    assert "hub" not in (await mesh("serve", f"./{REPO}/m.gguf")).err
    assert "hub" not in (await mesh("serve", str(tmp_path / "folder" / "m.gguf"))).err


def test_another_hub_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:81")
    assert what_is_meant(f"http://127.0.0.1:81/{REPO}") == HubReference(REPO)


def test_a_file_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").touch()
    assert what_is_meant("~/model") == FileReference("~/model")


@pytest.mark.parametrize("text", ["x\x00y", "", "hf:", "a\udcffb", "x" * 5000, "https://[", "./\x00"])
def test_no_text_gives_a_traceback(mesh: Terminal, text: str) -> None:
    outcome = mesh.run("serve", text)
    assert outcome.code in (1, 3)
    assert "a mistake in mesh itself" not in outcome.err

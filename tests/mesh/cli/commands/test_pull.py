from pathlib import Path

from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.fake_hub import COMMIT, GIB, REPO, FakeHub


async def test_a_pulled_model_is_held_and_it_says_how_to_serve_it(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.events["hold"] = [{"text": "reading model-Q8_0.gguf", "progress": 0.5}]
    outcome = await mesh("pull", f"hf:{REPO}:Q8_0")
    assert outcome.code == 0
    assert outcome.err.endswith(" 50%  reading model-Q8_0.gguf\n")
    assert outcome.out.startswith(
        "model-Q8_0.gguf (8.0 GiB) is held by alpha\nserve it with: mesh --state-dir "
    )
    assert outcome.out.endswith(" serve model-Q8_0\n")
    ((_, held),) = [one for one in owner.asked if one[0] == "hold"]
    assert [Path(file).name for file in held["files"]] == [
        "model-Q8_0-00001-of-00002.gguf",
        "model-Q8_0-00002-of-00002.gguf",
    ]
    assert held["sha256"] == ["2" * 64, "3" * 64]


async def test_as_json_it_tells_where_the_model_is_and_came_from(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    outcome = await mesh("pull", f"hf:{REPO}:Q4_K_M", "--json")
    assert outcome.json() == {
        "model": "model-Q8_0.gguf",
        "sha256": "e" * 64,
        "size": 8 * GIB,
        "files": [str(hub.folder / "model-Q4_K_M.gguf")],
        "source": f"hf:{REPO}@{COMMIT}/model-Q4_K_M.gguf",
        "member": examples.ALPHA,
    }
    failed = await mesh("pull", f"hf:{REPO}:Q9", "--json")
    assert (failed.code, failed.json()["error"]["message"]) == (1, f"there is no Q9 in {REPO}")


async def test_what_the_pool_holds_is_not_pulled_again(mesh: Terminal, owner: FakeSidecar) -> None:
    held = {
        "name": "tiny.gguf",
        "size": GIB,
        "sha256": "d" * 64,
        "members": [examples.BETA],
        "serving": False,
    }
    owner.answers["models"] = {"models": [held]}
    outcome = await mesh("pull", "tiny")
    assert outcome.out.startswith("tiny.gguf (1.0 GiB) is held by beta\n")
    assert [name for name, _ in owner.asked] == ["models", "status"]


async def test_the_parts_of_a_file_here_are_held_together(
    mesh: Terminal, owner: FakeSidecar, tmp_path: Path
) -> None:
    parts = [tmp_path / f"toy-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(b"GGUF")
    assert (await mesh("pull", str(parts[0]))).code == 0
    ((_, held),) = [one for one in owner.asked if one[0] == "hold"]
    assert held == {"files": [str(part) for part in parts], "sha256": ["", ""]}

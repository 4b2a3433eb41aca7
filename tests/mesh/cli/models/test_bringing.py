from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.control.control_errors import NotJoined, OperationRefused
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.fake_hub import COMMIT, GIB, REPO, FakeHub, fit

HASH = "ab" * 32
URL = "https://x.example/m.gguf?signature=secret"


def asked(owner: FakeSidecar, operation: str) -> list[dict[str, Any]]:
    return [args for name, args in owner.asked if name == operation]


async def test_what_was_downloaded_here_is_served_with_its_hashes_and_source(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.answers["fit"] = fit(1.0)
    assert (await mesh("serve", f"hf:{REPO}:Q8_0@v1")).code == 0
    assert ("describe", REPO, "v1") in hub.asked
    names = ["model-Q8_0-00001-of-00002.gguf", "model-Q8_0-00002-of-00002.gguf"]
    assert ("fetch", REPO, COMMIT, [*names, "mmproj-F16.gguf"], True) in hub.asked
    assert asked(owner, "place") == [{"bytes": 9 * GIB}]
    (served,) = asked(owner, "serve")
    assert served["model"] == str(hub.folder / names[0])
    assert served["sha256"] == ["2" * 64, "3" * 64]
    assert served["source"] == f"hf:{REPO}@{COMMIT}/{names[0]}"
    assert "held" not in served
    assert served["projector"] == str(hub.folder / "mmproj-F16.gguf")
    assert served["projector_sha256"] == hub.repository.files[-1].sha256
    assert (await mesh("serve", f"hf:{REPO}:Q8_0@v1", "--mmproj", "off")).code == 0
    assert asked(owner, "serve")[-1]["projector"] == ""


async def test_another_member_downloads_what_this_one_has_no_room_for(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.answers["fit"] = fit(1.0)
    owner.answers["place"] = {
        "member": examples.BETA,
        "name": "beta",
        "here": False,
        "reason": "2.0 GiB are free here",
    }
    held = {"name": "model-Q4_K_M.gguf", "size": 5 * GIB, "sha256": "f" * 64}
    owner.answers["fetch"] = held
    owner.events["fetch"] = [{"text": "model-Q4_K_M.gguf", "done": GIB, "total": 5 * GIB}]
    outcome = await mesh("serve", f"hf:{REPO}:Q4_K_M")
    assert outcome.code == 0
    assert "downloading model-Q4_K_M.gguf (5.0 GiB) to beta (2.0 GiB are free here)\n" in outcome.err
    assert " 20%  model-Q4_K_M.gguf, 1.0 GiB of 5.0 GiB\n" in outcome.err
    assert not [one for one in hub.asked if one[0] == "fetch"]
    (fetched,) = asked(owner, "fetch")
    assert (fetched["member"], fetched["repo"], fetched["commit"]) == (examples.BETA, REPO, COMMIT)
    assert [file["path"] for file in fetched["files"]] == ["model-Q4_K_M.gguf", "mmproj-F16.gguf"]
    assert fetched["held"] == 1, "the projector lies beside the model"
    (served,) = asked(owner, "serve")
    assert (served["model"], served["held"]) == ("", "f" * 64)
    assert "projector_held" not in served, "an older machine holds none"
    owner.answers["fetch"] = {**held, "projector": "e" * 64}
    assert (await mesh("serve", f"hf:{REPO}:Q4_K_M")).code == 0
    assert asked(owner, "serve")[-1]["projector_held"] == "e" * 64


async def test_what_is_not_open_to_all_is_not_downloaded_by_another(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    hub.close()
    owner.answers["place"] = {
        "member": examples.BETA,
        "name": "beta",
        "here": False,
        "reason": "2.0 GiB are free here",
    }
    outcome = await mesh("pull", f"hf:{REPO}:Q4_K_M")
    assert outcome.code == 1
    assert "a token does not travel to beta" in outcome.err
    assert "type this on beta, with a token there" in outcome.err
    assert asked(owner, "fetch") == []


async def test_who_is_in_no_pool_is_told_before_anything_is_downloaded(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.answers["status"] = owner.answers["models"] = NotJoined()
    for text in (f"hf:{REPO}", URL, "llama3"):
        assert (await mesh("serve", text)).code == 3
        assert (await mesh("pull", text, "--json")).code == 3
    assert hub.asked == []


def test_without_a_sidecar_nothing_is_downloaded_either(mesh: Terminal, hub: FakeHub) -> None:
    assert mesh.run("pull", f"hf:{REPO}").code == 3
    assert hub.asked == []


async def test_who_may_not_serve_is_told_before_the_download(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    members = [examples.member(examples.ALPHA, "alpha", rights=["work", "ask"])]
    owner.answers["status"] = examples.status(members=members)
    outcome = await mesh("serve", f"hf:{REPO}")
    assert (outcome.code, hub.asked) == (1, [])
    assert "only an owner decides what runs" in outcome.err


@pytest.mark.parametrize("command", ["serve", "pull"])
async def test_a_download_of_the_wrong_hash_is_removed(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub, command: str
) -> None:
    owner.answers["fit"] = fit(1.0)
    second = hub.folder / "model-Q8_0-00002-of-00002.gguf"
    owner.answers[{"pull": "hold"}.get(command, command)] = OperationRefused(
        "wrong_hash", f"{second}: has another hash than the hub says"
    )
    outcome = await mesh(command, f"hf:{REPO}:Q8_0")
    assert outcome.code == 1
    assert "has another hash" in outcome.err
    assert "hint: the file was removed; the same command downloads it again" in outcome.err
    assert hub.forgotten == [second], "not the part that is right"


async def test_other_refusals_remove_nothing(mesh: Terminal, owner: FakeSidecar, hub: FakeHub) -> None:
    owner.answers["hold"] = OperationRefused("failed", "the disk is full")
    assert (await mesh("pull", f"hf:{REPO}:Q8_0")).err.endswith("mesh: the disk is full\n")
    assert hub.forgotten == []


async def test_an_address_is_downloaded_here_and_its_query_told_to_nobody(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_CACHE_DIR", str(tmp_path / "cache"))
    owner.answers["fit"] = fit(1.0)
    outcome = await mesh("serve", f"{URL}#sha256={HASH}")
    assert outcome.code == 0
    assert "downloading m.gguf (7.0 GiB) to alpha\n" in outcome.err
    assert ("fetch_url", URL, HASH, tmp_path / "cache" / "models") in hub.asked
    (judged,) = asked(owner, "fit")
    assert (judged["size"], judged["sizes"]) == (7 * GIB, [7 * GIB])
    (served,) = asked(owner, "serve")
    assert served["sha256"] == [HASH]
    assert served["source"] == "https://x.example/m.gguf"
    assert "secret" not in outcome.err + str(served)


async def test_a_hash_is_of_the_part_whose_address_was_typed(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    outcome = await mesh("pull", f"https://x.example/a%20model-00002-of-00003.gguf#sha256={HASH}")
    assert outcome.code == 0
    (held,) = asked(owner, "hold")
    assert [Path(file).name for file in held["files"]][1] == "a model-00002-of-00003.gguf"
    assert held["sha256"] == ["", HASH, ""]


async def test_an_address_of_what_does_not_fit_is_not_downloaded_to_be_served(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    owner.answers["fit"] = fit(0)
    outcome = await mesh("serve", "https://x.example/m-00001-of-00003.gguf")
    assert "(21.0 GiB) does not fit: 3.0 GiB are missing" in outcome.err
    assert not [one for one in hub.asked if one[0] == "fetch_url"]


async def test_who_ends_a_download_is_told_that_it_goes_on_later(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    hub.failure = KeyboardInterrupt()
    outcome = await mesh("pull", f"hf:{REPO}:Q4_K_M")
    assert outcome.code == 130
    assert outcome.err.endswith("\nwhat has arrived is kept; the same command goes on with it\n")
    assert asked(owner, "hold") == []


async def test_a_repository_without_projector_brings_the_model_alone(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    hub.repository = replace(hub.repository, files=hub.repository.files[:-1])
    outcome = await mesh("pull", f"hf:{REPO}:Q4_K_M")
    assert "comes along" not in outcome.err
    assert ("fetch", REPO, COMMIT, ["model-Q4_K_M.gguf"], True) in hub.asked


async def test_without_the_hub_the_header_is_that_of_the_file_in_the_cache(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub
) -> None:
    hub.is_offline = True
    hub.folder.mkdir()
    (hub.folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF and more")
    seen: list[bytes] = []

    def judge(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        seen.append(Path(asked["header"]).read_bytes())
        return fit(1.0)

    owner.answers["fit"] = judge
    assert (await mesh("serve", f"hf:{REPO}:Q4_K_M")).code == 0
    assert seen == [b"GGUF and more"]


async def test_what_has_arrived_needs_no_room_again(
    mesh: Terminal, owner: FakeSidecar, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    blobs = tmp_path / "models--owner--model-GGUF" / "blobs"
    blobs.mkdir(parents=True)
    with open(blobs / ("4" * 64), "wb") as blob:  # noqa: ASYNC230
        blob.truncate(5 * GIB)
    await mesh("pull", f"hf:{REPO}:Q4_K_M")
    assert asked(owner, "place") == [{"bytes": GIB}], "the projector's"
    hub.repository = replace(hub.repository, files=hub.repository.files[:-1])
    hub.folder.mkdir()
    (hub.folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
    owner.answers["fit"] = fit(1.0)
    hub.asked.clear()
    outcome = await mesh("serve", f"hf:{REPO}:Q4_K_M")
    assert outcome.err.startswith("model-Q4_K_M.gguf (5.0 GiB) has been downloaded before\n")
    assert [one[0] for one in hub.asked] == ["describe", "fetch", "fetch"]

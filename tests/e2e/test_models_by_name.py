"""Models by name, from a hub on one of the lab's hosts: chosen, downloaded, held, served from elsewhere."""

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.e2e.pools import chat, found, is_ready, join, leader, status_when
from tests.lab import namespaces
from tests.lab.host import Host
from tests.lab.hub import ScriptedHub
from tests.lab.lab import Lab
from tests.tiny_kinds import projector

pytestmark = pytest.mark.usefixtures("engine")

REPO = "ann/tiny-GGUF"
SERVE = ("--ctx", "512", "--slots", "1", "--wait")
SECRET = "hf_only_here"
BEST = 12_000_000
"""Bytes of the best variant that fits."""


@pytest.fixture
def hub(lab: Lab) -> Iterator[ScriptedHub]:
    host = lab.host("hub")
    made = ScriptedHub(address=host.address)
    if host.namespace is None:
        made.__enter__()
    else:
        namespaces.inside(host.namespace, made.__enter__)
    yield made
    made.__exit__(None, None, None)


def spec(size: int) -> ModelSpec:
    """What a model of so many bytes is made by."""
    return spec_of_size(size, ModelSpec(layers=8, seed=size))


def model(folder: Path, size: int, parts: int = 1) -> dict[str, bytes]:
    """A model's files by their names behind its quantisation."""
    files = generate(folder / "made.gguf", spec(size), parts=parts)
    return {path.name.removeprefix("made"): path.read_bytes() for path in files}


def hosts_that_know(lab: Lab, hub: ScriptedHub, count: int, token: str = "") -> list[Host]:
    """Hosts whose hub is the scripted one, for their sidecars as well."""
    hosts = lab.hosts(count)
    for host in hosts:
        host.environment |= hub.environment(host.folder, token)
    return hosts


def fill(hub: ScriptedHub, folder: Path, **access: bool | str) -> None:
    """Three variants: one is larger than the pool, the best that fits has two parts."""
    hub.add(
        REPO,
        {
            "tiny-BF16.gguf": bytes(1 << 20) + b"never read" * 40_000_000,
            **{f"Q8_0/tiny-Q8_0{end}": data for end, data in model(folder / "8", BEST, 2).items()},
            **{f"tiny-Q4_K_M{end}": data for end, data in model(folder / "4", 6_000_000).items()},
            "mmproj-F16.gguf": projector(folder / "mmproj.gguf", spec(BEST).n_embd).read_bytes(),
        },
        **access,  # type: ignore[arg-type]
    )


def said(host: Host, *arguments: str | Path, code: int = 1, **environment: Any) -> str:
    """What a command that ends so says on standard error, which is no traceback."""
    result = host.mesh(*arguments, check=False, timeout=120, **environment)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "mistake in mesh" not in result.stderr
    return result.stderr


async def test_the_best_that_fits_is_served_and_then_by_name_from_another_member(
    lab: Lab, hub: ScriptedHub, tmp_path: Path
) -> None:
    fill(hub, tmp_path)
    anna, bert = hosts_that_know(lab, hub, 2)
    join(bert, found(anna))

    shown = said(anna, "serve", f"hf:{REPO}", *SERVE, code=0)
    chosen = next(line for line in shown.splitlines() if line.startswith("*"))
    assert chosen.split()[1:2] + chosen.split()[4:5] == ["Q8_0", "yes"]
    assert "BF16" in shown
    assert "mmproj-F16.gguf" in shown
    asked = [one.path for one in hub.bodies() if "BF16" in one.path]
    assert not asked, "nothing is fetched of what does not fit but its size"
    status = await status_when(bert, is_ready)
    assert leader(status) == anna.name
    assert await chat(bert)

    bert.mesh("stop")
    assert "did you mean tiny-Q8_0?" in said(bert, "serve", "tiny-Q8")
    hub.requests.clear()
    bert.mesh("serve", "TINY-q8_0", *SERVE, timeout=120)
    await status_when(anna, is_ready)
    assert await chat(anna)
    assert hub.requests == [], "the pool has it"
    assert bert.mesh_json("plan", "tiny-q8_0")["layers"] == 8

    anna.mesh("stop")
    anna.mesh("serve", f"https://huggingface.co/{REPO}/tree/main/Q8_0", *SERVE, timeout=120)
    assert hub.requests, "the hub says what that page has"
    assert hub.bodies() == [], "of which all is there"


def test_a_pull_goes_on_after_cuts_and_what_has_a_wrong_hash_is_removed(
    lab: Lab, hub: ScriptedHub, tmp_path: Path
) -> None:
    fill(hub, tmp_path)
    (anna,) = hosts_that_know(lab, hub, 1)
    found(anna)
    hub.faults.cut_after, hub.faults.cut_times = 1_000_000, 3
    pulled = anna.mesh_json("pull", f"{REPO}:q8_0", timeout=120)
    assert set(pulled) == {"model", "sha256", "size", "files", "source", "member"}
    there = hub.repository(REPO)
    assert there is not None
    names = [f"Q8_0/tiny-Q8_0-0000{number}-of-00002.gguf" for number in (1, 2)]
    for name, file in zip(names, pulled["files"], strict=True):
        assert Path(file).read_bytes() == there.files[there.commit][name]
    assert pulled["source"] == f"hf:{REPO}@{there.commit}/{names[0]}"
    assert any(one.span not in ("", "bytes=0-") for one in hub.bodies()), "it went on where it was cut"
    (held,) = anna.mesh_json("models")["models"]
    assert (held["sha256"], held["members"]) == (pulled["sha256"], [pulled["member"]])

    hub.faults.altered = True
    assert "removed" in said(anna, "pull", f"{REPO}:Q4_K_M")
    assert len(anna.mesh_json("models")["models"]) == 1
    hub.faults.altered = False
    anna.mesh("pull", f"{REPO}:Q4_K_M", timeout=120)
    assert len(anna.mesh_json("models")["models"]) == 2


async def test_a_pull_that_is_interrupted_goes_on_when_it_is_typed_again(
    lab: Lab, hub: ScriptedHub, tmp_path: Path
) -> None:
    fill(hub, tmp_path)
    (anna,) = hosts_that_know(lab, hub, 1)
    found(anna)
    hub.faults.cut_after, hub.faults.cut_times = 1_000_000, -1
    command = anna.mesh_command("pull", f"{REPO}:Q4_K_M")
    log = anna.folder / "output.log"
    process = anna.popen(command)
    with trio.fail_after(60):
        while True:
            if "again" in log.read_text(errors="replace"):
                break
            await trio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert await trio.to_thread.run_sync(process.wait, 30) == 130
    printed = log.read_text()
    assert "what has arrived is kept; the same command goes on with it" in printed
    assert "Traceback" not in printed
    hub.faults.cut_times = 0
    hub.requests.clear()
    await anna.amesh("pull", f"{REPO}:Q4_K_M", timeout=120)
    spans = [one.span for one in hub.bodies() if "Q4_K_M" in one.path]
    assert all(span not in ("", "bytes=0-") for span in spans), spans


def test_what_is_gated_is_pulled_with_a_token_on_this_machine_alone(
    lab: Lab, hub: ScriptedHub, tmp_path: Path
) -> None:
    fill(hub, tmp_path, gated=True, token=SECRET)
    anna, bert = hosts_that_know(lab, hub, 2)
    join(bert, found(anna, "--no-lead"))
    pull = ("pull", f"{REPO}:Q4_K_M")
    without = said(bert, *pull)
    assert "token" in without or "log" in without
    assert hub.tokens() == set()
    bert.mesh(*pull, timeout=120, HF_TOKEN=SECRET)
    assert hub.tokens() == {f"Bearer {SECRET}"}
    # anna may not lead, so that bert would have to download for it, to whom no token travels.
    assert f"a token does not travel to {bert.name}" in said(anna, *pull, HF_TOKEN=SECRET)


def test_a_member_that_may_not_lead_has_another_download_what_is_open(
    lab: Lab, hub: ScriptedHub, tmp_path: Path
) -> None:
    fill(hub, tmp_path)
    anna, bert = hosts_that_know(lab, hub, 2)
    token = found(anna, "--no-lead")
    join(bert, token)
    pulled = anna.mesh_json("pull", f"{REPO}:Q4_K_M", timeout=120)
    names = {member["id"]: member["name"] for member in anna.status()["members"]}
    assert names[pulled["member"]] == bert.name
    assert list(bert.folder.rglob("hf-home/hub/**/tiny-Q4_K_M.gguf"))
    assert not list(anna.folder.rglob("hf-home/hub/**/tiny-Q4_K_M.gguf"))
    hub.faults.altered = True
    assert "removed there" in said(anna, "pull", f"{REPO}:Q8_0")


def test_mistyped_names_are_told_what_there_is(lab: Lab, hub: ScriptedHub, tmp_path: Path) -> None:
    fill(hub, tmp_path)
    (anna,) = hosts_that_know(lab, hub, 1)
    assert "mesh join" in said(anna, "pull", f"hf:{REPO}", code=3)
    assert hub.requests == []
    found(anna)
    assert "did you mean hf:ann/tiny-GGUF:Q4_K_M?" in said(anna, "serve", f"hf:{REPO}:Q4_K_X")
    assert "there is no file tiny-Q5.gguf" in said(anna, "serve", f"hf:{REPO}/tiny-Q5.gguf")
    assert "hf:OWNER/REPO" in said(anna, "serve", "llama3")
    assert "mesh pull" in said(anna, "plan", f"hf:{REPO}:Q4_K_M")
    assert "tiny-GUF" in said(anna, "pull", "hf:ann/tiny-GUF")
    assert "tiny-BF16.gguf: is no GGUF file" in said(anna, "serve", f"hf:{REPO}:BF16")
    assert not [one for one in hub.bodies() if not one.span], "no file was fetched as a whole"


def test_an_address_is_pulled_if_its_hash_is_right(lab: Lab, hub: ScriptedHub, tmp_path: Path) -> None:
    (data,) = model(tmp_path, 6_000_000).values()
    hub.put("plain.gguf", data)
    (anna,) = hosts_that_know(lab, hub, 1)
    found(anna)
    cache: dict[str, Any] = {"MESH_CACHE_DIR": str(anna.folder / "cache")}
    address, right = hub.file_url("plain.gguf", secure=False), hashlib.sha256(data).hexdigest()
    assert "plain http" in said(anna, "pull", address)
    assert "hash" in said(anna, "pull", f"{address}#sha256={'0' * 64}", **cache).lower()
    pulled = anna.mesh_json("pull", f"{address}#sha256={right}", timeout=120, **cache)
    assert pulled["model"] == "plain.gguf"
    assert Path(pulled["files"][0]).read_bytes() == data
    again = anna.mesh_json("pull", hub.file_url("plain.gguf"), timeout=120, **cache)
    assert again["sha256"] == pulled["sha256"]
    anna.mesh("serve", "plain", *SERVE, timeout=120)
    assert is_ready(anna.status())

"""What the command line asks for a model by name: does it fit, who downloads, hold it, have it downloaded."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leader.model.gguf_reader import ShortHeader
from leader.model.model_hash import WrongHash
from mesh.control.operations import FetchArgs, FetchFile, FitArgs
from mesh.hub import hub_client
from mesh.operations.pulling import fetch_stream
from mesh.operations.pulling.pull_operations import PullOperations
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from mesh.wire.rights import Rights
from tests.mesh.operations.homes import Events, FakeHome, able, admitted, leading
from tests.mesh.operations.pulling.company import Company, company
from tests.mesh.operations.pulling.test_fetch_stream import COMMIT, ScriptedHub
from tests.mesh.protocol.stage import Stage as Scene

SPEC = ModelSpec(layers=6, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("model") / "small.gguf", SPEC)[0]


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    home = FakeHome(tmp_path, able(leading(Scene())))
    home.enter()
    return home


def size_of(model: Path) -> int:
    return model.stat().st_size


def plain_of(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()


def beginning(model: Path, folder: Path, count: int) -> Path:
    header = folder / "beginning.gguf"
    header.write_bytes(model.read_bytes()[:count])
    return header


def fit_args(header: Path, size: int, *sizes: int) -> FitArgs:
    return {
        "header": str(header),
        "size": size,
        "sizes": list(sizes),
        "context": None,
        "slots": None,
        "layers": None,
    }


async def test_variants_that_fit_are_told_from_those_that_do_not(
    home: FakeHome, model: Path, tmp_path: Path
) -> None:
    size = size_of(model)
    header = beginning(model, tmp_path, size // 2)
    answer = await PullOperations(home).fit(
        fit_args(header, size, size, size // 2, size << 16), Events().emit
    )
    as_it_is, half, huge = answer["fits"]
    assert as_it_is["fits"]
    assert half["tokens_per_second"] > as_it_is["tokens_per_second"] > 0
    assert (huge["fits"], huge["tokens_per_second"]) == (False, 0.0)
    assert "self" in huge["reason"], "the placement's own words say what each offers"


async def test_a_header_that_is_too_short_is_told_apart(home: FakeHome, model: Path, tmp_path: Path) -> None:
    header = beginning(model, tmp_path, 300)
    with pytest.raises(ShortHeader) as caught:
        await PullOperations(home).fit(fit_args(header, size_of(model), 1), Events().emit)
    assert caught.value.code == "short_header"


async def test_a_fit_that_makes_no_sense_is_refused(home: FakeHome, model: Path) -> None:
    operations, size = PullOperations(home), size_of(model)
    for args in (fit_args(model, 0, 5), fit_args(model, size, 0), fit_args(model, size, *[size] * 257)):
        with pytest.raises(MeshError, match="at most 256 variants"):
            await operations.fit(args, Events().emit)
    with pytest.raises(MeshError, match="no member is called nobody"):
        await operations.fit({**fit_args(model, size, size), "layers": {"nobody": 1}}, Events().emit)


async def test_a_held_model_is_named_by_its_root(home: FakeHome, model: Path) -> None:
    sha256 = plain_of(model)
    result = await PullOperations(home).hold({"files": [str(model)], "sha256": [sha256]}, Events().emit)
    assert (result["name"], result["size"]) == ("small.gguf", size_of(model))
    assert home.stay.models.find(bytes.fromhex(result["sha256"])) is not None


async def test_a_wrong_file_is_not_held(home: FakeHome, model: Path) -> None:
    with pytest.raises(WrongHash):
        await PullOperations(home).hold({"files": [str(model)], "sha256": ["ab" * 32]}, Events().emit)
    assert home.stay.models.held() == []


async def test_a_split_model_is_held_by_all_its_parts_in_order(home: FakeHome, tmp_path: Path) -> None:
    files = [str(file) for file in generate(tmp_path / "split.gguf", SPEC, parts=2)]
    operations = PullOperations(home)
    for wrong in (files[:1], files[::-1], [*files, files[0]]):
        with pytest.raises(MeshError, match="a model of 2 files, and others were given"):
            await operations.hold({"files": wrong, "sha256": []}, Events().emit)
    with pytest.raises(MeshError, match="at least one file"):
        await operations.hold({"files": [], "sha256": []}, Events().emit)
    await operations.hold({"files": files, "sha256": ["", ""]}, Events().emit)


async def test_this_machine_is_the_place_if_it_can_be(home: FakeHome) -> None:
    result = await PullOperations(home).place({"bytes": 0}, Events().emit)
    assert (result["here"], result["member"]) == (True, id_text(home.scene.node.id))
    with pytest.raises(MeshError, match="no less than 0 bytes"):
        await PullOperations(home).place({"bytes": -1}, Events().emit)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedHub:
    hub = ScriptedHub(tmp_path / "hub")
    monkeypatch.setattr(hub_client, "fetch_apart", hub.fetch_apart)
    monkeypatch.setattr(fetch_stream, "BEAT_SECONDS", 0.01)
    return hub


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path) as both:
        yield both


def fetch_args(hub: ScriptedHub, member: str) -> FetchArgs:
    wanted = hub.wanted()
    files: list[FetchFile] = [
        {"path": file.path, "size": file.size, "sha256": file.sha256} for file in wanted.files
    ]
    return {"member": member, "repo": wanted.repo, "commit": COMMIT, "files": files, "held": 1}


async def test_another_member_is_had_download(pair: Company, hub: ScriptedHub) -> None:
    told = Events()
    args = fetch_args(hub, id_text(pair.bert.node.id))
    result = await PullOperations(pair.home(pair.anna)).fetch(args, told.emit)
    assert result["name"] == "tiny.gguf"
    assert pair.bert.models.find(bytes.fromhex(result["sha256"])) is not None
    assert all(event["text"].startswith("bert: ") for event in told)


async def test_this_machine_downloads_itself_if_it_is_named(home: FakeHome, hub: ScriptedHub) -> None:
    args = fetch_args(hub, id_text(home.scene.node.id))
    result = await PullOperations(home).fetch(args, Events().emit)
    assert home.stay.models.find(bytes.fromhex(result["sha256"])) is not None


async def test_what_cannot_be_fetched_is_refused_here_already(home: FakeHome, hub: ScriptedHub) -> None:
    operations, args = PullOperations(home), fetch_args(hub, id_text(b"x" * 16))
    with pytest.raises(MeshError, match="no member has the id"):
        await operations.fetch(args, Events().emit)
    with pytest.raises(MeshError, match="is no repository"):
        await operations.fetch({**args, "repo": "nonsense"}, Events().emit)
    assert hub.asked == []


async def test_who_is_no_owner_has_nobody_download(tmp_path: Path, hub: ScriptedHub) -> None:
    home = FakeHome(tmp_path, admitted(Rights.WORK | Rights.LEAD))
    home.enter()
    with pytest.raises(MeshError, match="may not have machines download: it is no owner"):
        await PullOperations(home).fetch(fetch_args(hub, id_text(b"x" * 16)), Events().emit)

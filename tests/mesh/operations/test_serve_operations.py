"""What becomes of a model that is to be served: refused before anything changes, or deployed and held."""

from functools import partial
from pathlib import Path

import pytest
import trio

from leader.model.deployed_settings import settings_of
from leader.model.engine_settings import EngineSettings
from leader.model.model_hash import Progress
from leader.placement.infeasible import Infeasible
from mesh.control.operations import ProgressEvent, ServeArgs
from mesh.operations.pulling import holding
from mesh.operations.serve_operations import ServeOperations
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.identity import id_text
from mesh.wire.profile import Model
from mesh.wire.rights import Rights
from mesh.wire.states import Phase
from tests.mesh.operations.homes import Events, FakeHome, able, admitted, leading
from tests.mesh.protocol.stage import Stage as Scene
from tests.tiny_kinds import encoder, projector

SPEC = ModelSpec(layers=6, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(generate(tmp_path_factory.mktemp("model") / "small.gguf", SPEC)[0])


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    home = FakeHome(tmp_path, able(leading(Scene())))
    home.enter()
    return home


def serve_args(model: str) -> ServeArgs:
    return {"model": model, "context": None, "slots": None, "layers": None}


def deployed(home: FakeHome) -> Deployment:
    deployment = home.scene.node.deployment()
    assert deployment is not None
    return deployment


async def test_a_model_that_fits_is_deployed_and_held(home: FakeHome, model: str) -> None:
    result = await ServeOperations(home).serve({**serve_args(model), "copies": 3}, Events().emit)
    wanted = deployed(home)
    assert (wanted.running, wanted.context, wanted.slots, wanted.copies) == (True, 256, 1, 3)
    assert result["deployment"]["sha256"] == wanted.model.root.hex()
    assert result["api"] == home.stay.api
    held = home.stay.models.find(wanted.model.root)
    assert held is not None
    assert held.files == (Path(model),)
    assert home.here.changes.count > 0, "the record is told anew"


async def test_the_same_wish_again_deploys_nothing_new(home: FakeHome, model: str) -> None:
    operations, numbers = ServeOperations(home), []
    for slots in (None, None, 2):
        await operations.serve({**serve_args(model), "slots": slots}, Events().emit)
        numbers.append(deployed(home).number)
    assert numbers[0] == numbers[1] < numbers[2]


async def test_what_the_engine_is_to_do_is_kept_in_the_deployment(home: FakeHome, model: str) -> None:
    operations = ServeOperations(home)
    result = await operations.serve({**serve_args(model), "kv": "q8_0"}, Events().emit)
    assert settings_of(deployed(home)) == EngineSettings(256, 1, "q8_0")
    assert (result["deployment"]["kv"], result["deployment"]["embeddings"]) == ("q8_0", False)
    await operations.stop({}, Events().emit)
    assert settings_of(deployed(home)).kv == "q8_0", "stopping changes no setting"
    await operations.serve({**serve_args(model), "embeddings": True}, Events().emit)
    assert settings_of(deployed(home)) == EngineSettings(256, 1, embeddings=True)
    with pytest.raises(
        MeshError, match=r"'q2_k' is no form of keys and values \(there are f16, q8_0, q4_0\)"
    ):
        await operations.serve({**serve_args(model), "kv": "q2_k"}, Events().emit)


async def test_a_model_that_reads_pictures_is_deployed_with_both_files(
    home: FakeHome, model: str, tmp_path: Path
) -> None:
    file = projector(tmp_path / "mmproj.gguf", SPEC.n_embd)
    operations = ServeOperations(home)
    result = await operations.serve({**serve_args(model), "projector": str(file)}, Events().emit)
    wanted = deployed(home)
    assert wanted.second is not None
    assert (wanted.second.name, wanted.second.size) == ("mmproj.gguf", file.stat().st_size)
    assert result["deployment"]["projector"] == "mmproj.gguf"
    assert all(home.stay.models.find(one.root) is not None for one in wanted.held)
    await operations.stop({}, Events().emit)
    assert deployed(home).second == wanted.second
    await operations.serve(serve_args(model), Events().emit)
    assert deployed(home).second is None, "served anew without it"


async def test_an_embedding_model_is_served_for_what_it_gives(home: FakeHome, tmp_path: Path) -> None:
    bert = str(encoder(tmp_path / "bert.gguf"))
    operations = ServeOperations(home)
    with pytest.raises(MeshError, match="gives embeddings, no answers") as caught:
        await operations.serve(serve_args(bert), Events().emit)
    assert "add --embeddings" in caught.value.hint
    assert home.scene.node.deployment() is None
    await operations.serve({**serve_args(bert), "embeddings": True}, Events().emit)
    assert deployed(home).context == 512


async def test_layers_are_fixed_as_asked(home: FakeHome, model: str) -> None:
    mine = id_text(home.scene.node.id)
    await ServeOperations(home).serve({**serve_args(model), "layers": {mine: 6}}, Events().emit)
    assert deployed(home).layers == ((home.scene.node.id, 6),)


async def test_what_the_pool_cannot_hold_is_refused_before_anything_changes(
    home: FakeHome, model: str
) -> None:
    home.scene.republish(memory_offered=1000)
    home.scene.wait(3)
    with pytest.raises(Infeasible, match="self"):
        await ServeOperations(home).serve(serve_args(model), Events().emit)
    assert home.scene.node.deployment() is None
    assert home.stay.models.held() == []


async def test_a_model_whose_name_no_copy_could_have_is_refused_before_it_is_read(
    home: FakeHome, model: str, tmp_path: Path
) -> None:
    hidden = tmp_path / ".pieces"
    hidden.symlink_to(model)
    events = Events()
    with pytest.raises(MeshError, match=r"begins with a dot: '\.pieces'") as caught:
        await ServeOperations(home).serve(serve_args(str(hidden)), events.emit)
    assert "another name" in caught.value.hint
    assert home.scene.node.deployment() is None


async def test_only_an_owner_decides_what_runs(tmp_path: Path, model: str) -> None:
    home = FakeHome(tmp_path, admitted(Rights.WORK | Rights.LEAD))
    home.enter()
    with pytest.raises(MeshError, match="may not decide what runs: it is no owner"):
        await ServeOperations(home).serve(serve_args(model), Events().emit)


async def test_a_disk_that_cannot_note_the_model_is_named(
    home: FakeHome, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home.stay.models, "add", full)
    with pytest.raises(MeshError, match="cannot note the model: No space left on device"):
        await ServeOperations(home).serve(serve_args(model), Events().emit)
    assert home.scene.node.deployment() is None


async def test_a_client_that_waits_is_told_how_far_it_is_until_it_is_ready(
    home: FakeHome, model: str, nursery: trio.Nursery
) -> None:
    scene, told = home.scene, Events()
    loading, answered = trio.Event(), trio.Event()

    async def emit(event: ProgressEvent) -> None:
        await told.emit(event)
        if event.get("state") == "loading":
            loading.set()

    async def serve() -> None:
        result = await ServeOperations(home).serve({**serve_args(model), "wait": True}, emit)
        assert result["deployment"]["state"] == "ready"
        answered.set()

    report = partial(phase, home)
    nursery.start_soon(serve)
    with trio.fail_after(30):
        while scene.node.deployment() is None:
            await home.here.changes.wait(home.here.changes.count, 0.01)
        report(Phase.LOADING, 0.5)
        await loading.wait()
        assert not answered.is_set()
        report(Phase.READY, 1.0)
        await answered.wait()
    assert {"text": "loading", "state": "loading", "progress": 0.5} in told


def phase(home: FakeHome, name: Phase, progress: float) -> None:
    """The leader, which this node is, tells how far it is."""
    scene = home.scene
    scene.wait(2)
    scene.perform(scene.node.report(scene.now, deployed(home).number, name, progress, "", 1.0, ()))
    home.here.changes.notify()


async def test_a_long_reading_of_the_file_is_told_with_how_far_it_is(
    home: FakeHome, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, seen = Events(), trio.Event()

    async def slow(
        files: object, cache: Path, report: Progress, sha256: object
    ) -> tuple[bytes, list[object]]:
        report(1, 4)
        await seen.wait()
        return b"r" * 32, []

    async def emit(event: ProgressEvent) -> None:
        await told.emit(event)
        seen.set()

    monkeypatch.setattr(holding, "TELL_SECONDS", 0.001)
    monkeypatch.setattr(holding, "hash_model", slow)
    await ServeOperations(home).serve(serve_args(model), emit)
    assert told[0] == {"text": "reading small.gguf", "progress": 0.25, "done": 1, "total": 4}


async def test_stopping_names_what_was_served_and_keeps_its_settings(home: FakeHome) -> None:
    scene, operations = home.scene, ServeOperations(home)
    assert await operations.stop({}, Events().emit) == {"model": None}
    tiny = Model("tiny.gguf", 8 << 20, b"r" * 32)
    scene.perform(scene.node.deploy(scene.now, tiny, 512, 3, True, ((scene.node.id, 6),), 4))
    assert await operations.stop({}, Events().emit) == {"model": "tiny.gguf"}
    stopped = deployed(home)
    assert (stopped.running, stopped.context, stopped.slots, stopped.copies) == (False, 512, 3, 4)
    assert stopped.layers == ((scene.node.id, 6),)
    assert await operations.stop({}, Events().emit) == {"model": None}

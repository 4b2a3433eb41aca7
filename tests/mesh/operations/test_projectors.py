"""Which file a model reads pictures by: one that is given, one that is held, or one that came along."""

from pathlib import Path

import pytest

from leader.model.gguf_reader import GgufError
from mesh.operations.projectors import Projector, projector_meant
from mesh.wire.errors import MeshError
from mesh.wire.facts import Record
from mesh.wire.profile import Model, Profile
from tests.mesh.operations.homes import Events, FakeHome, able, leading
from tests.mesh.protocol.stage import Stage as Scene
from tests.tiny_kinds import encoder, projector

SNAPSHOT = "hub/models--some--vision-GGUF/snapshots/0123"


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    home = FakeHome(tmp_path, able(leading(Scene())))
    home.enter()
    return home


async def test_a_given_file_is_checked_hashed_and_held(home: FakeHome, tmp_path: Path) -> None:
    assert home.pool is not None
    file = projector(tmp_path / "mmproj.gguf", 64)
    meant = await projector_meant(home.pool, {"projector": str(file)}, ())
    assert meant == Projector(file.stat().st_size, file)
    model = await meant.held(home.pool, "", Events().emit)
    assert (model.name, model.size) == ("mmproj.gguf", file.stat().st_size)
    held = home.stay.models.find(model.root)
    assert held is not None
    again = await projector_meant(home.pool, {"projector_held": model.root.hex()}, ())
    assert again == meant, "it is known by its hash from now on"
    with pytest.raises(MeshError, match="SHA-256"):
        await meant.held(home.pool, "no hash", Events().emit)


async def test_what_is_no_projector_is_refused(home: FakeHome, tmp_path: Path) -> None:
    assert home.pool is not None
    with pytest.raises(GgufError, match="is no projector"):
        await projector_meant(home.pool, {"projector": str(encoder(tmp_path / "bert.gguf"))}, ())
    hidden = projector(tmp_path / ".mmproj.gguf", 64)
    with pytest.raises(MeshError, match="begins with a dot"):
        await projector_meant(home.pool, {"projector": str(hidden)}, ())
    with pytest.raises(MeshError, match="no machine that is alive holds that projector"):
        await projector_meant(home.pool, {"projector_held": "ab" * 32}, ())


async def test_one_that_another_member_holds_is_known_by_its_record(home: FakeHome) -> None:
    assert home.pool is not None
    scene, model = home.scene, Model("mmproj.gguf", 77, b"p" * 32)
    holder = scene.member(2)
    profile = Profile(name="bert", addresses=(holder.address,), rank=1, models=(model,))
    holder.tells(holder.sign(Record(scene.pool, holder.id, 1, bytes(8), 2, False, profile)))
    meant = await projector_meant(home.pool, {"projector_held": model.root.hex()}, ())
    assert meant == Projector(77, elsewhere=model)
    assert await meant.held(home.pool, "", Events().emit) == model


async def test_one_that_was_downloaded_with_the_model_is_found(home: FakeHome, tmp_path: Path) -> None:
    assert home.pool is not None
    snapshot = tmp_path / SNAPSHOT
    (snapshot / "Q4").mkdir(parents=True)
    model = snapshot / "Q4" / "model.gguf"
    assert await projector_meant(home.pool, {}, (model,)) is None
    beside = projector(snapshot / "mmproj-F16.gguf", 64)
    meant = await projector_meant(home.pool, {}, (model,))
    assert meant == Projector(beside.stat().st_size, beside)
    assert await projector_meant(home.pool, {"projector": ""}, (model,)) is None, "none is wanted"
    loose = tmp_path / "own"
    loose.mkdir()
    projector(loose / "mmproj-F16.gguf", 64)
    assert await projector_meant(home.pool, {}, (loose / "model.gguf",)) is None, "it was not downloaded"

"""A model that the pool holds is found by its root, and its shape comes from a member that holds it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leader.placement.reading import read_model
from mesh.operations.pulling.held_elsewhere import model_held_by, root_of, shape_of_held
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from mesh.wire.facts import Record
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import Events, FakeHome
from tests.mesh.operations.pulling.company import Company, company
from tests.mesh.protocol.stage import Stage as Scene

SPEC = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=64, vocabulary=512, context=64)
ROOT = b"r" * 32


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path) as both:
        yield both


async def test_the_shape_comes_from_the_member_that_holds_the_model(pair: Company, tmp_path: Path) -> None:
    files = generate(tmp_path / "tiny.gguf", SPEC)
    model = await pair.hold(pair.bert, files, pair.anna)
    told = Events()
    found, shape = await shape_of_held(pair.anna, model.root, told.emit)
    assert found == model
    assert shape.layer_bytes == read_model(files[0]).layer_bytes
    assert told == [{"text": "asking bert for the header of tiny.gguf"}]


async def test_a_holder_whose_file_went_says_so(pair: Company, tmp_path: Path) -> None:
    files = generate(tmp_path / "tiny.gguf", SPEC)
    model = await pair.hold(pair.bert, files, pair.anna)
    files[0].unlink()
    with pytest.raises(MeshError, match=r"no machine gives the header of tiny\.gguf \(bert: it is not here"):
        await shape_of_held(pair.anna, model.root, Events().emit)


@pytest.mark.parametrize(("rights", "rank"), [(Rights.WORK, 1), (ALL_RIGHTS, 0)])
async def test_a_model_at_a_member_that_may_not_lead_is_not_served(
    tmp_path: Path, rights: Rights, rank: int
) -> None:
    scene = Scene()
    home = FakeHome(tmp_path, scene)
    home.enter()
    holder = scene.member(2, rights=rights)
    profile = Profile(name="phone", addresses=(holder.address,), rank=rank, models=(Model("a", 1, ROOT),))
    holder.tells(holder.sign(Record(scene.pool, holder.id, 1, bytes(8), 2, False, profile)))
    member = scene.node.member(holder.id)
    assert member is not None
    assert model_held_by(member, ROOT) == Model("a", 1, ROOT)
    assert model_held_by(member, b"s" * 32) is None
    assert home.pool is not None
    with pytest.raises(MeshError, match="no machine that is alive and may lead holds that model"):
        await shape_of_held(home.pool, ROOT, Events().emit)


@pytest.mark.parametrize("text", ["", "ab", "xy" * 32, "ab" * 33, "tiny.gguf"])
def test_what_is_no_root_is_refused(text: str) -> None:
    assert root_of("ab" * 32) == b"\xab" * 32
    with pytest.raises(MeshError, match="is no model's hash"):
        root_of(text)

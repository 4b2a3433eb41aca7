"""What `mesh models` gets: holders of each model, and how far the copies of the served one are."""

from pathlib import Path
from typing import Any

import pytest

from mesh.control.operations import ModelsResult
from mesh.copies.copy_manager import CopyState
from mesh.copies.copy_store import Stored
from mesh.operations.model_operations import ModelOperations
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Model, Profile
from tests.mesh.operations.homes import Events, FakeHome
from tests.mesh.protocol.stage import Actor
from tests.mesh.protocol.stage import Stage as Scene

SERVED, OTHER = Model("tiny.gguf", 1000, b"r" * 32), Model("old.gguf", 5, b"s" * 32)
IDLE = CopyState(False, 0, 10**9, "", 0.0, 0, "")


class FakeCopies:
    """Answers for members."""

    def __init__(self) -> None:
        self.states: dict[NodeId, CopyState] = {}
        self.asked: set[NodeId] = set()
        self.removed = [Stored(b"s" * 32, "old.gguf", 4096, True, Path("/copies/s"))]

    async def survey(self, root: bytes, members: Any) -> dict[NodeId, CopyState]:
        self.asked = {member.id for member in members}
        return {id: state for id, state in self.states.items() if id in self.asked}

    def prune(self) -> list[Stored]:
        return self.removed


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def home(scene: Scene, tmp_path: Path) -> FakeHome:
    home = FakeHome(tmp_path, scene)
    home.stay.copies = FakeCopies()
    home.enter()
    return home


async def asked(home: FakeHome) -> ModelsResult:
    return await ModelOperations(home).models({}, Events().emit)


def holds(scene: Scene, actor: Actor, *models: Model) -> None:
    profile = Profile(name="actor", addresses=(actor.address,), rank=1, models=models)
    actor.tells(actor.sign(Record(scene.pool, actor.id, 1, bytes(8), 2, False, profile)))


def deploy(scene: Scene, running: bool = True) -> None:
    scene.perform(scene.node.deploy(scene.now, SERVED, 512, 1, running, (), 3))


async def test_models_are_listed_with_those_that_hold_them(scene: Scene, home: FakeHome) -> None:
    one, two = scene.member(2), scene.member(3)
    holds(scene, one, SERVED, OTHER)
    holds(scene, two, SERVED)
    models = (await asked(home))["models"]
    assert [(model["name"], model["size"], model["serving"]) for model in models] == [
        ("old.gguf", 5, False),
        ("tiny.gguf", 1000, False),
    ]
    assert models[0]["members"] == [id_text(one.id)]
    assert set(models[1]["members"]) == {id_text(one.id), id_text(two.id)}
    assert "copies" not in models[1], "nothing is deployed"


async def test_a_projector_is_listed_as_served_with_its_model(scene: Scene, home: FakeHome) -> None:
    beside = Model("mmproj.gguf", 7, b"p" * 32)
    scene.perform(scene.node.deploy(scene.now, SERVED, 512, 1, True, (), 3, (), beside))
    holds(scene, scene.member(2), SERVED, beside)
    listed, served = (await asked(home))["models"]
    assert (listed["name"], listed["serving"], "copies" in listed) == ("mmproj.gguf", True, False)
    assert (served["serving"], served["projector"]) == (True, "mmproj.gguf")


async def test_copies_of_the_served_model_are_shown_with_how_far_they_are(
    scene: Scene, home: FakeHome
) -> None:
    holder, copier, unable, idle = (scene.member(number) for number in (2, 3, 4, 5))
    holds(scene, holder, SERVED)
    deploy(scene)
    home.stay.copies.states = {
        copier.id: CopyState(False, 250, 10**9, "copying", 99.5, 2, ""),
        unable.id: CopyState(False, 0, 0, "", 0.0, 0, "the disk is broken"),
        idle.id: IDLE,
    }
    (model,) = (await asked(home))["models"]
    assert (model["serving"], model["copies_wanted"]) == (True, 3)
    assert sorted(model["copies"], key=lambda copy: copy["state"]) == [
        {
            "member": id_text(copier.id), "state": "copying", "progress": 0.25, "rate": 99.5, "sources": 2,
            "reason": "",
        },
        {
            "member": id_text(unable.id), "state": "idle", "progress": 0.0, "rate": 0.0, "sources": 0,
            "reason": "the disk is broken",
        },
    ]  # fmt: skip
    assert holder.id not in home.stay.copies.asked


async def test_a_served_model_shows_where_it_comes_from(scene: Scene, home: FakeHome) -> None:
    source = (("source", "hf:some/one"),)
    scene.perform(scene.node.deploy(scene.now, SERVED, 512, 1, True, (), 3, source))
    (model,) = (await asked(home))["models"]
    assert model["source"] == "hf:some/one"


async def test_a_served_model_that_nobody_alive_holds_is_listed(scene: Scene, home: FakeHome) -> None:
    deploy(scene)
    (model,) = (await asked(home))["models"]
    assert (model["name"], model["members"], model["serving"]) == ("tiny.gguf", [], True)


async def test_a_member_that_has_left_holds_nothing(scene: Scene, home: FakeHome) -> None:
    gone = scene.member(2)
    profile = Profile(name="actor", addresses=(gone.address,), rank=1, models=(OTHER,))
    gone.tells(gone.sign(Record(scene.pool, gone.id, 1, bytes(8), 2, True, profile)))
    assert scene.state_of(gone) == "left"
    assert await asked(home) == {"models": []}


async def test_removed_copies_are_named_with_what_they_took(home: FakeHome) -> None:
    before = home.here.changes.count
    removed = {"name": "old.gguf", "size": 4096, "sha256": "73" * 32}
    assert await ModelOperations(home).prune({}, Events().emit) == {"removed": [removed]}
    assert home.here.changes.count > before, "the record is told anew"

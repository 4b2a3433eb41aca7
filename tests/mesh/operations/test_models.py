"""What `mesh models` gets: holders of each model, and how far the copies of the served one are."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from mesh.copies.copy_manager import CopyState
from mesh.copies.copy_store import Stored
from mesh.member.stay import Pool
from mesh.operations.models import Modelling
from mesh.protocol.node.node import Node
from mesh.runtime.change_signal import ChangeSignal
from mesh.wire.facts import Model, Profile, Record
from mesh.wire.identity import NodeId, id_text
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


class FakePool:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.copies = FakeCopies()
        self.machine = self
        self.changes = ChangeSignal()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def pool(scene: Scene) -> FakePool:
    return FakePool(scene.node)


async def asked(pool: FakePool, operation: str = "models") -> Any:
    async def emit(event: Any) -> None:
        raise AssertionError("there is nothing to wait for")

    handler = Modelling(lambda: cast(Pool, pool)).operations()[operation]
    return json.loads(json.dumps(await handler({}, emit)))


def holds(scene: Scene, actor: Actor, *models: Model) -> None:
    profile = Profile(name="actor", addresses=(actor.address,), rank=1, models=models)
    actor.tells(actor.sign(Record(scene.pool, actor.id, 1, bytes(8), 2, False, profile)))


def deploy(scene: Scene, running: bool = True) -> None:
    scene.perform(scene.node.deploy(scene.now, SERVED, 512, 1, running, (), 3))


async def test_models_are_listed_with_those_that_hold_them(scene: Scene, pool: FakePool) -> None:
    one, two = scene.member(2), scene.member(3)
    holds(scene, one, SERVED, OTHER)
    holds(scene, two, SERVED)
    models = (await asked(pool))["models"]
    assert [(model["name"], model["size"], model["serving"]) for model in models] == [
        ("old.gguf", 5, False),
        ("tiny.gguf", 1000, False),
    ]
    assert models[0]["members"] == [id_text(one.id)]
    assert set(models[1]["members"]) == {id_text(one.id), id_text(two.id)}
    assert "copies" not in models[1], "nothing is deployed"


async def test_copies_of_the_served_model_are_shown_with_how_far_they_are(
    scene: Scene, pool: FakePool
) -> None:
    holder, copier, unable, idle = (scene.member(number) for number in (2, 3, 4, 5))
    holds(scene, holder, SERVED)
    deploy(scene)
    pool.copies.states = {
        copier.id: CopyState(False, 250, 10**9, "copying", 99.5, 2, ""),
        unable.id: CopyState(False, 0, 0, "", 0.0, 0, "the disk is broken"),
        idle.id: IDLE,
    }
    (model,) = (await asked(pool))["models"]
    assert (model["serving"], model["copies_wanted"]) == (True, 3)
    shown = {copy.pop("member"): copy for copy in model["copies"]}
    assert shown == {
        id_text(copier.id): {
            "state": "copying", "progress": 0.25, "rate": 99.5, "sources": 2, "reason": ""
        },
        id_text(unable.id): {
            "state": "idle", "progress": 0.0, "rate": 0.0, "sources": 0, "reason": "the disk is broken"
        },
    }  # fmt: skip
    assert holder.id not in pool.copies.asked


async def test_a_served_model_that_nobody_alive_holds_is_listed(scene: Scene, pool: FakePool) -> None:
    deploy(scene)
    (model,) = (await asked(pool))["models"]
    assert (model["name"], model["members"], model["serving"]) == ("tiny.gguf", [], True)


async def test_removed_copies_are_named_with_what_they_took(pool: FakePool) -> None:
    before = pool.changes.count
    removed = {"name": "old.gguf", "size": 4096, "sha256": "73" * 32}
    assert await asked(pool, "prune") == {"removed": [removed]}
    assert pool.changes.count > before, "the record is told anew"

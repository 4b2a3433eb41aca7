"""A plan for a file, or for what is deployed with that deployment's settings."""

from pathlib import Path

import pytest

from mesh.control.operations import PlanArgs
from mesh.operations.plan_operations import PlanOperations
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from mesh.wire.profile import Model
from tests.mesh.operations.homes import Events, FakeHome, able, leading
from tests.mesh.protocol.stage import Stage as Scene

SPEC = ModelSpec(layers=6, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)
DEPLOYED: PlanArgs = {"model": None, "layers": None}
SMALL = Model("small.gguf", 8 << 20, b"r" * 32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("model") / "small.gguf", SPEC)[0]


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    home = FakeHome(tmp_path, able(leading(Scene())))
    home.enter()
    return home


def deploy(home: FakeHome, running: bool = True) -> None:
    scene = home.scene
    scene.perform(scene.node.deploy(scene.now, SMALL, 128, 3, running, ((scene.node.id, 6),)))


async def test_a_file_is_planned_for_with_modest_settings(home: FakeHome, model: Path) -> None:
    deploy(home)
    plan = await PlanOperations(home).plan({"model": str(model), "layers": None}, Events().emit)
    assert (plan["layers"], plan["context"], plan["slots"]) == (6, 256, 1)
    assert [stage["member"] for stage in plan["stages"]] == [id_text(home.scene.node.id)]


async def test_what_is_deployed_is_planned_for_with_its_settings(home: FakeHome, model: Path) -> None:
    home.stay.models.add(SMALL.name, SMALL.root, [model])
    deploy(home)
    plan = await PlanOperations(home).plan(DEPLOYED, Events().emit)
    assert (plan["context"], plan["slots"]) == (128, 3)


async def test_members_that_cannot_hold_layers_are_left_out_with_the_reason(
    home: FakeHome, model: Path
) -> None:
    idle = home.scene.member(2)
    plan = await PlanOperations(home).plan({"model": str(model), "layers": None}, Events().emit)
    (out,) = plan["left_out"]
    assert out["member"] == id_text(idle.id)
    with pytest.raises(MeshError, match=f"actor is to hold 2 layers, but {out['reason']}"):
        await PlanOperations(home).plan({"model": str(model), "layers": {"actor": 2}}, Events().emit)


async def test_without_a_deployment_a_file_is_asked_for(home: FakeHome) -> None:
    with pytest.raises(MeshError, match="no model is deployed"):
        await PlanOperations(home).plan(DEPLOYED, Events().emit)
    deploy(home, running=False)
    with pytest.raises(MeshError, match="no model is deployed"):
        await PlanOperations(home).plan(DEPLOYED, Events().emit)


async def test_a_deployed_model_whose_file_is_elsewhere_is_not_planned_for(home: FakeHome) -> None:
    deploy(home)
    with pytest.raises(MeshError, match=r"small\.gguf is not on this machine"):
        await PlanOperations(home).plan(DEPLOYED, Events().emit)


async def test_what_is_asked_counts_for_more_than_the_deployment(home: FakeHome, model: Path) -> None:
    home.stay.models.add(SMALL.name, SMALL.root, [model])
    deploy(home)
    usual = await PlanOperations(home).plan(DEPLOYED, Events().emit)
    plan = await PlanOperations(home).plan({**DEPLOYED, "context": 4096, "kv": "q8_0"}, Events().emit)
    assert (plan["context"], plan["slots"]) == (4096, 3)
    assert plan["stages"][0]["bytes"] > usual["stages"][0]["bytes"]


async def test_what_the_engine_does_not_have_is_refused(home: FakeHome, model: Path) -> None:
    with pytest.raises(MeshError, match="is no form of keys and values"):
        await PlanOperations(home).plan({"model": str(model), "layers": None, "kv": "q9"}, Events().emit)

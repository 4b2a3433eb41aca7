"""Who waits for a model waits for that one, and learns when it will not come."""

from dataclasses import replace

import pytest

from leader.model.engine_settings import EngineSettings
from mesh.operations.deployment_outlook import Unserved, copies_of, options_of, outlook, same
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.profile import Model
from mesh.wire.states import Phase
from tests.mesh.protocol.stage import Stage as Scene

MODEL, OTHER = Model("tiny.gguf", 8 << 20, b"r" * 32), Model("big.gguf", 9 << 20, b"s" * 32)


@pytest.fixture
def scene() -> Scene:
    """A founder that leads."""
    scene = Scene()
    scene.wait(5)
    return scene


def deploy(scene: Scene, model: Model = MODEL, context: int = 512, running: bool = True) -> Deployment:
    scene.perform(scene.node.deploy(scene.now, model, context, 1, running))
    wanted = scene.node.deployment()
    assert wanted is not None
    return wanted


def report(scene: Scene, wanted: Deployment, phase: Phase) -> None:
    scene.perform(scene.node.report(scene.now, wanted.number, phase, 0.5, "because", 1.0, ()))
    scene.wait(2)


def test_copies_are_as_many_as_asked_for_else_as_before(scene: Scene) -> None:
    wanted = deploy(scene)
    assert copies_of(None, MODEL, None) == wanted.copies == 2
    assert copies_of(3, MODEL, wanted) == 3
    scene.perform(scene.node.deploy(scene.now, MODEL, 512, 1, True, copies=5))
    assert copies_of(None, MODEL, scene.node.deployment()) == 5
    assert copies_of(None, OTHER, scene.node.deployment()) == 2
    with pytest.raises(MeshError, match="at most 64"):
        copies_of(65, MODEL, None)


def test_options_stay_with_their_model_and_take_a_source(scene: Scene) -> None:
    wanted, usual = replace(deploy(scene), options=(("flash", "on"),)), EngineSettings(512)
    assert options_of(None, usual, MODEL, None) == ()
    assert options_of(None, usual, MODEL, wanted) == (("flash", "on"),)
    assert options_of("hf:a/b", usual, MODEL, wanted) == (("flash", "on"), ("source", "hf:a/b"))
    assert options_of("hf:a/b", usual, OTHER, wanted) == (("source", "hf:a/b"),)
    assert same(wanted, replace(wanted, options=options_of("hf:a/b", usual, MODEL, wanted)))
    with pytest.raises(MeshError, match="source cannot be"):
        options_of("", usual, MODEL, wanted)


@pytest.mark.parametrize("settings", [EngineSettings(512, kv="q8_0"), EngineSettings(512, embeddings=True)])
def test_other_settings_of_the_engine_are_another_deployment(scene: Scene, settings: EngineSettings) -> None:
    wanted = deploy(scene)
    other = replace(wanted, options=options_of(None, settings, MODEL, wanted))
    assert not same(wanted, other)
    assert same(wanted, replace(other, options=options_of(None, EngineSettings(512), MODEL, other)))
    assert not same(wanted, replace(wanted, second=OTHER)), "pictures are read with a projector alone"


def test_it_is_waited_for_until_it_is_ready(scene: Scene) -> None:
    wanted = deploy(scene)
    event = outlook(scene.node, wanted)
    assert event is not None
    assert event == {"text": "waiting for the leader", "state": "waiting"}, "of which there is no share"
    report(scene, wanted, Phase.LOADING)
    assert outlook(scene.node, wanted) == {"text": "loading: because", "state": "loading", "progress": 0.5}
    report(scene, wanted, Phase.READY)
    assert outlook(scene.node, wanted) is None


def test_what_fails_ends_the_waiting_with_the_reason(scene: Scene) -> None:
    wanted = deploy(scene)
    report(scene, wanted, Phase.FAILED)
    with pytest.raises(MeshError, match="cannot be served: because"):
        outlook(scene.node, wanted)


def test_of_what_failed_the_whole_reason_is_told_if_it_is_still_that() -> None:
    error = Unserved("tiny", "lost bert: unsupported...")
    assert error.message == "tiny cannot be served: lost bert: unsupported..."
    for other in ("", "bert is back"):
        assert error.whole(other) == error.message
    whole = "lost bert: unsupported op 'SSM_SCAN'"
    assert error.whole(whole) == f"tiny cannot be served: {whole}"


def test_another_model_that_is_ready_is_not_the_one_that_is_waited_for(scene: Scene) -> None:
    wanted = deploy(scene)
    report(scene, deploy(scene, OTHER), Phase.READY)
    with pytest.raises(MeshError, match=r"was replaced meanwhile: big\.gguf is to be served"):
        outlook(scene.node, wanted)


def test_the_same_model_with_other_settings_is_another(scene: Scene) -> None:
    wanted = deploy(scene)
    report(scene, deploy(scene, context=256), Phase.READY)
    with pytest.raises(MeshError, match="with other settings"):
        outlook(scene.node, wanted)


def test_what_is_stopped_is_waited_for_no_longer(scene: Scene) -> None:
    wanted = deploy(scene)
    deploy(scene, running=False)
    with pytest.raises(MeshError, match="was stopped meanwhile"):
        outlook(scene.node, wanted)


def test_the_same_thing_asked_for_twice_is_one_and_the_same(scene: Scene) -> None:
    wanted = deploy(scene)
    assert same(deploy(scene), wanted)
    assert not same(None, wanted)

"""`mesh status` as it comes from a Node: the shape that scripts depend on, whatever is going on."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mesh.admission.pool_names import pool_name
from mesh.control.operations import EngineStatus
from mesh.net.versions_preface import ProgramVersion
from mesh.protocol.node.node import Member, Node
from mesh.runtime.deployment_source import with_source
from mesh.runtime.program_build import build, version
from mesh.runtime.status import current_state, name_of, status
from mesh.wire.facts import PoolState, Quarantine, Record, Stage
from mesh.wire.identity import NodeId, id_text
from mesh.wire.messages import Bodies, Ping
from mesh.wire.profile import Model, OfferedDevice, Profile
from mesh.wire.rights import Rights
from mesh.wire.states import Phase
from mesh.wire.versions import CLOSED, SPOKEN, Versions, marked
from tests.mesh.cli.status_shape import problems
from tests.mesh.protocol.stage import Actor
from tests.mesh.protocol.stage import Stage as Scene

MODEL = Model("tiny.gguf", 8 << 20, b"r" * 32)
ENGINE: EngineStatus = {"state": "ready", "progress": 1.0, "reason": ""}


def shown(scene: Scene, heard: Mapping[NodeId, ProgramVersion] | None = None) -> Any:
    """The status as a script reads it; its shape is checked."""
    result = status(
        scene.node, scene.pool, pool_name(scene.pool), ENGINE, "http://127.0.0.1:50080/v1", heard or {}
    )
    read = json.loads(json.dumps(result))
    assert problems(read) == []
    return read


def deploy(scene: Scene, running: bool = True) -> None:
    scene.perform(scene.node.deploy(scene.now, MODEL, 4096, 1, running))


def test_a_deployment_shows_where_its_model_comes_from() -> None:
    scene = Scene()
    deploy(scene)
    assert "source" not in shown(scene)["deployment"]
    source = f"hf:someone/a-model-GGUF@{'ab' * 20}/a-model-Q4_K_M.gguf"
    scene.perform(scene.node.deploy(scene.now, MODEL, 1, 1, True, (), 2, with_source((), source)))
    status = shown(scene)
    assert status["deployment"]["source"] == status["deployments"][0]["source"] == source


def report(
    scene: Scene,
    number: int = 1,
    phase: Phase = Phase.READY,
    stages: tuple[Stage, ...] = (),
    quarantines: tuple[Quarantine, ...] = (),
) -> None:
    scene.perform(scene.node.report(scene.now, number, phase, 0.5, "because", 12.3456, stages, quarantines))


def member(result: Any, id: NodeId) -> Any:
    """How the status shows one member."""
    return next(one for one in result["members"] if one["id"] == id_text(id))


def upgraded(actor: Actor, speaks: Versions) -> Actor:
    """The actor, once its program has started anew and speaks these versions."""
    actor.generation += 1
    actor.tells(actor.record(nonce=marked(bytes(8), speaks)))
    return actor


def led() -> Scene:
    """A founder that leads."""
    scene = Scene()
    scene.wait(5)
    assert scene.node.leader() is not None
    return scene


def test_a_founder_is_alone_and_nobody_leads_yet() -> None:
    scene = Scene()
    result = shown(scene)
    assert result["pool"] == {"id": id_text(scene.pool), "name": pool_name(scene.pool)}
    assert result["self"] == {
        "id": id_text(scene.node.id), "name": "self", "address": "10.0.0.1:50052", "paused": False
    }  # fmt: skip
    assert [member["state"] for member in result["members"]] == ["alive"]
    assert (result["leader"], result["deployment"], result["plan"]) == (None, None, None)
    assert result["engine"] == ENGINE


def test_a_leader_is_named_with_its_term() -> None:
    assert shown(scene := led())["leader"] == {"id": id_text(scene.node.id), "name": "self", "term": 1}


def test_who_is_missing_is_named_when_only_those_are_left_that_may_not_lead() -> None:
    scene = Scene(rank=0)
    holder, other = scene.member(2, rank=9), scene.member(3)
    profile = Profile(name="anna", addresses=(holder.address,), rank=9, models=(MODEL,))
    holder.tells(holder.sign(Record(scene.pool, holder.id, 1, bytes(8), 2, False, profile)))
    volunteer = scene.member(4, rank=0, rights=Rights.WORK)
    deploy(scene)
    holder.answers = other.answers = False
    scene.wait(60)
    reason = "none of the machines that are alive may lead; missing: "
    shown_reason = shown(scene)["deployment"]["reason"]
    assert shown_reason.removeprefix(reason) in (
        "anna (dead, holds the model), actor (dead)",
        "actor (dead), anna (dead, holds the model)",
    )
    assert volunteer.id in {member.id for member in scene.node.members() if member.state == "alive"}


def test_members_are_shown_in_every_state_and_before_they_were_heard_of() -> None:
    scene = led()
    alive, silent, left = (scene.member(number) for number in (2, 3, 4))
    scene.member(5, known=False)
    silent.answers = False
    left.tells(left.record(2, left=True))
    scene.wait(30)
    states = {member["id"]: member["state"] for member in shown(scene)["members"]}
    assert states[id_text(alive.id)] == "alive"
    assert states[id_text(silent.id)] == "dead"
    assert states[id_text(left.id)] == "left"


def test_a_member_without_an_engine_has_no_version_of_it() -> None:
    scene = led()
    scene.republish(engine_commit="abc", engine_rpc="7.0.0", memory_total=8, memory_offered=4)
    actor = scene.member(2)
    scene.wait(1)
    members = {member["id"]: member for member in shown(scene)["members"]}
    assert members[id_text(scene.node.id)]["llama_cpp"] == {"commit": "abc", "rpc": "7.0.0"}
    assert members[id_text(scene.node.id)]["memory"] == {"total": 8, "offered": 4, "free": 0}
    assert members[id_text(actor.id)]["llama_cpp"] is None


def test_a_deployment_waits_until_its_leader_speaks() -> None:
    scene = Scene()
    deploy(scene)
    assert shown(scene)["deployment"] == {
        "model": "tiny.gguf", "sha256": (b"r" * 32).hex(), "state": "waiting", "progress": 0.0,
        "reason": "no leader at present", "context": 4096, "slots": 1,
        "kv": "f16", "embeddings": False,
    }  # fmt: skip
    scene.wait(5)
    assert shown(scene)["deployment"]["reason"] == ""


def test_a_served_model_is_shown_with_its_stages_and_who_has_which_layers() -> None:
    scene = led()
    actor = scene.member(2)
    deploy(scene)
    me = scene.node.id
    report(scene, stages=(Stage(me, 0, 3, False, 10, 1.23456), Stage(actor.id, 4, 7, True, 20, 2.0)))
    result = shown(scene)
    assert (result["deployment"]["state"], result["deployment"]["progress"]) == ("ready", 0.5)
    assert result["plan"]["predicted_tokens_per_second"] == 12.346
    assert [stage["layers"] for stage in result["plan"]["stages"]] == [[0, 3], [4, 7]]
    assert result["plan"]["stages"][0]["milliseconds"] == 1.235
    layers = {member["id"]: member["layers"] for member in result["members"]}
    assert layers == {id_text(me): [0, 3], id_text(actor.id): [4, 7]}


def test_layers_are_shown_by_device() -> None:
    scene = led()
    deploy(scene)
    me = scene.node.id
    offered = (OfferedDevice("cuda", "CUDA0", 8, 4), OfferedDevice("cpu", "CPU", 8, 4))
    scene.perform(scene.node.publish(scene.now, Profile(name="self", devices=offered)))
    report(scene, stages=(Stage(me, 0, 2, False, 10, 1.0, "CPU"), Stage(me, 3, 7, True, 20, 2.0, "CUDA0")))
    result = shown(scene)
    assert [stage["device"] for stage in result["plan"]["stages"]] == ["CPU", "CUDA0"]
    assert {one["name"]: one["layers"] for one in result["members"][0]["devices"]} == {
        "CUDA0": [3, 7],
        "CPU": [0, 2],
    }


def test_who_has_the_head_alone_has_no_layers() -> None:
    scene = led()
    deploy(scene)
    report(scene, stages=(Stage(scene.node.id, 1, 0, True, 10, 1.0),))
    assert shown(scene)["members"][0]["layers"] is None


def test_a_word_about_an_earlier_deployment_is_not_shown_for_the_present_one() -> None:
    scene = led()
    deploy(scene)
    report(scene, number=1)
    assert shown(scene)["deployment"]["state"] == "ready"
    deploy(scene, running=False)
    deploy(scene)
    assert shown(scene)["deployment"]["state"] == "waiting"
    assert shown(scene)["plan"] is None


def test_a_stopped_deployment_is_none() -> None:
    scene = led()
    deploy(scene)
    report(scene)
    deploy(scene, running=False)
    assert shown(scene)["deployment"] is None


def test_the_word_of_a_leader_that_was_replaced_does_not_count() -> None:
    scene = led()
    deploy(scene)
    report(scene)
    actor: Actor = scene.member(2, rank=1000)
    actor.tells(actor.claim(term=2))
    scene.wait(1)
    result = shown(scene)
    assert result["leader"]["id"] == id_text(actor.id)
    assert current_state(scene.node) is None
    assert result["deployment"]["state"] == "waiting"
    word = PoolState(scene.pool, actor.id, 2, 1, 1, "loading", 0.25, "", 1.0, ())
    actor.says(Bodies((actor.sign(word),)))
    assert shown(scene)["deployment"]["state"] == "loading"


def test_an_unknown_member_is_called_by_the_start_of_its_id() -> None:
    nobody = NodeId(b"n" * 16)
    assert name_of(Scene().node, nobody) == id_text(nobody)[:8]


def test_all_members_are_gone_through_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = led()
    for number in range(2, 10):
        scene.member(number)
    members, passes = Node.members, []

    def counted(self: Node) -> list[Member]:
        passes.append(self)
        return members(self)

    monkeypatch.setattr(Node, "members", counted)
    assert len(shown(scene)["members"]) == 9
    assert len(passes) == 1


def test_one_member_is_shown_as_it_is_among_all() -> None:
    scene = led()
    scene.member(2)
    assert [scene.node.member(member.id) for member in scene.node.members()] == scene.node.members()
    assert scene.node.member(NodeId(bytes(16))) is None


def test_what_is_empty_until_a_feature_fills_it_is_shown_empty() -> None:
    scene = Scene()
    result = shown(scene)
    assert (result["deployments"], result["pool_engine"], result["problems"]) == ([], None, [])
    me = member(result, scene.node.id)
    assert (me["devices"], me["quarantine"]) == ([], None)


def test_the_one_deployment_is_also_in_the_list_under_its_empty_name() -> None:
    scene = led()
    deploy(scene)
    report(scene)
    result = shown(scene)
    assert result["deployments"] == [{"name": "", **result["deployment"]}]


def test_the_program_that_runs_is_named_and_what_each_member_runs() -> None:
    scene = Scene()
    scene.republish(build="0.1.0+1a2b3c4d")
    scene.wait(1)
    result = shown(scene)
    assert result["running"] == {"version": version(), "build": build()}
    me = member(result, scene.node.id)
    assert (me["versions"], me["build"]) == (list(SPOKEN), "0.1.0+1a2b3c4d")


def test_devices_are_shown_with_what_was_measured_on_them() -> None:
    scene = Scene()
    gpu = OfferedDevice("cuda", "L4", 24, 20, 3e11, 1e13, 1e-4, 1e-9)
    scene.republish(devices=(gpu, OfferedDevice("cpu", "EPYC", 64, 32)))
    scene.wait(1)
    assert member(shown(scene), scene.node.id)["devices"] == [
        {
            "kind": "cuda", "name": "L4", "memory": {"total": 24, "offered": 20}, "layers": None,
            "bandwidth": 3e11, "operations": 1e13, "overhead": 1e-4, "slope": 1e-9, "quarantine": None,
        },
        {
            "kind": "cpu", "name": "EPYC", "memory": {"total": 64, "offered": 32}, "layers": None,
            "bandwidth": None, "operations": None, "overhead": None, "slope": None, "quarantine": None,
        },
    ]  # fmt: skip


def test_a_member_that_the_leader_leaves_out_is_shown_with_the_reason() -> None:
    scene = led()
    actor = upgraded(scene.member(2), SPOKEN)
    scene.wait(scene.settings.form_delay + 1)
    deploy(scene)
    scene.republish(devices=(OfferedDevice("cpu", "CPU", 8, 8), OfferedDevice("cuda", "CUDA0", 8, 8)))
    scene.wait(1)
    of_a_device = Quarantine(scene.node.id, "CUDA0", 30, "it is slow")
    report(scene, quarantines=(of_a_device, Quarantine(actor.id, "", 60, "its rpc-server crashed")))
    result = shown(scene)
    assert member(result, actor.id)["quarantine"] == {"seconds": 60, "reason": "its rpc-server crashed"}
    me = member(result, scene.node.id)
    assert me["quarantine"] is None, "only a device of it is left out"
    assert [device["quarantine"] for device in me["devices"]] == [
        None,
        {"seconds": 30, "reason": "it is slow"},
    ]


def test_no_leader_shows_a_member_left_out_for_ever() -> None:
    scene = led()
    actor = upgraded(scene.member(2), SPOKEN)
    scene.wait(scene.settings.form_delay + 1)
    deploy(scene)
    report(scene, quarantines=(Quarantine(actor.id, "", 1 << 60, "a lie"),))
    assert member(shown(scene), actor.id)["quarantine"] == {"seconds": 3600, "reason": "a lie"}


def test_a_device_that_the_leader_leaves_out_is_shown_at_its_machine() -> None:
    scene = led()
    scene.republish(devices=(OfferedDevice("cuda", "L4", 24, 20), OfferedDevice("cpu", "EPYC", 64, 32)))
    deploy(scene)
    report(scene, quarantines=(Quarantine(scene.node.id, "L4", 30, "it aborted"),))
    told = [one["quarantine"] for one in member(shown(scene), scene.node.id)["devices"]]
    assert told == [{"seconds": 30, "reason": "it aborted"}, None]


def test_an_owners_choice_of_engine_is_shown_until_it_is_taken_back() -> None:
    scene = Scene()
    scene.perform(scene.node.choose_engine(scene.now, "b4711", b"d" * 32))
    assert shown(scene)["pool_engine"] == {"release": "b4711", "digest": (b"d" * 32).hex()}
    scene.perform(scene.node.choose_engine(scene.now, "", b""))
    assert shown(scene)["pool_engine"] is None


def test_a_member_of_the_version_before_is_named_so() -> None:
    scene = led()
    actor = scene.member(2, speaks=CLOSED)
    result = shown(scene)
    assert member(result, actor.id)["versions"] == list(CLOSED)
    assert [(one["code"], one["member"]) for one in result["problems"]] == [
        ("older_member", id_text(actor.id))
    ]


def test_a_member_that_cannot_be_spoken_with_is_a_problem() -> None:
    scene = led()
    later = Versions(SPOKEN.newest + 1, SPOKEN.newest + 2)
    actor = upgraded(scene.member(2), later)
    result = shown(scene)
    assert member(result, actor.id)["versions"] == list(later)
    [problem] = result["problems"]
    assert problem["message"] == f"actor speaks wire version {later}, this machine {SPOKEN}"


def test_what_a_gone_member_said_on_its_last_stream_counts_before_its_record() -> None:
    scene = led()
    actor = scene.member(2, speaks=CLOSED)
    later = Versions(SPOKEN.newest + 1, SPOKEN.newest + 2)
    said = {actor.id: ProgramVersion(later, "0.9.0+ab", "attic")}
    assert member(shown(scene, said), actor.id)["versions"] == list(CLOSED)
    actor.answers = False
    scene.wait(60)
    result = shown(scene, said)
    assert member(result, actor.id)["versions"] == list(later)
    assert member(result, actor.id)["build"] == "0.9.0+ab"
    assert [one["code"] for one in result["problems"]] == ["wire_version"]


def test_a_datagram_that_cannot_be_read_counts_before_an_earlier_stream_and_record() -> None:
    scene = led()
    actor = scene.member(2)
    profile = Profile(name="attic", addresses=(actor.address,), build="0.1.0+ab")
    actor.tells(actor.sign(Record(scene.pool, actor.id, 1, marked(bytes(8), SPOKEN), 2, False, profile)))
    assert member(shown(scene), actor.id)["build"] == "0.1.0+ab"
    later = Versions(SPOKEN.newest + 1, SPOKEN.newest + 2)
    actor.speaks, actor.answers = later, False
    actor.says(Ping(1, bytes(8), 1, 0))
    scene.wait(60)
    result = shown(scene, {actor.id: ProgramVersion(SPOKEN, "0.1.0+ab", "attic")})
    attic = member(result, actor.id)
    assert (attic["state"], attic["versions"], attic["build"]) == ("dead", list(later), "")
    assert [one["code"] for one in result["problems"]] == ["wire_version"]

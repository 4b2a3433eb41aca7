"""Members as placement sees them, plans as people read them, and pools that are only described in a file."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leader.model.engine_settings import EngineSettings
from leader.placement.infeasible import Infeasible
from leader.placement.planner import place
from leader.reconcile.member_views import member_view
from mesh.operations.plan import (
    context_of,
    describe,
    fixed_layers,
    left_out,
    plan_from_file,
    refuse_unable,
)
from mesh.protocol.membership.peers import GONE, MemberState
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, id_text
from tests.leader.members import ANNA, BERT, PROFILE, TOY, member
from tests.leader.shapes import MIB, host, worker


@pytest.mark.parametrize(
    ("trained", "asked", "context"),
    [(131072, None, 4096), (2048, None, 2048), (0, None, 4096), (2048, 512, 512), (2048, 8192, 8192)],
)
def test_the_context_is_what_was_asked_else_modest(trained: int, asked: int | None, context: int) -> None:
    assert context_of(replace(TOY, context_train=trained), asked) == context


def test_layers_are_fixed_by_name_or_id() -> None:
    members = [member(), member(replace(PROFILE, name="bert"), BERT)]
    assert fixed_layers({"anna": 3, id_text(BERT): 5}, members) == {(ANNA, ""): 3, (BERT, ""): 5}
    assert fixed_layers(None, members) == {}


def test_layers_for_nobody_or_for_one_of_two_are_refused() -> None:
    with pytest.raises(MeshError, match="no member is called carl"):
        fixed_layers({"carl": 3}, [member()])
    with pytest.raises(MeshError, match="several members are called anna"):
        fixed_layers({"anna": 3}, [member(), member(id=BERT)])


@pytest.mark.parametrize("state", GONE)
def test_who_is_gone_leaves_its_name_to_who_came_with_it(state: MemberState) -> None:
    assert fixed_layers({"anna": 3}, [member(state=state), member(id=BERT)]) == {(BERT, ""): 3}
    assert fixed_layers({"anna": 3}, [member(state=state)]) == {(ANNA, ""): 3}, (
        "and is found while it is the only"
    )


def test_layers_for_who_cannot_hold_any_are_refused_with_the_reason() -> None:
    reasons: dict[bytes, tuple[str, str | None]] = {ANNA: ("anna", None), BERT: ("bert", "does not work")}
    refuse_unable(reasons, {(ANNA, ""): 3, (BERT, ""): 0})
    with pytest.raises(MeshError, match="bert is to hold 1 layer, but does not work"):
        refuse_unable(reasons, {(ANNA, ""): 3, (BERT, ""): 1})


# --- plans for people


def test_a_plans_terms_add_up_and_its_layers_follow_each_other() -> None:
    plan = place(TOY, [host(40 * MIB), worker(1), worker(2)], EngineSettings(512, 1))
    told = describe(plan, [])
    expected = 0
    for stage in told["stages"]:
        first, last = stage["layers"]
        if last >= first:
            assert first == expected
            expected = last + 1
        assert sum(stage["terms_ms"].values()) == pytest.approx(stage["milliseconds"], abs=0.002)
        memory = stage["memory"]
        assert memory["layers"] + memory["head"] + memory["overhead"] == stage["bytes"] <= memory["offered"]
    assert expected == told["layers"] == TOY.n_layers
    total = sum(stage["milliseconds"] for stage in told["stages"])
    assert told["milliseconds_per_token"] == pytest.approx(total, rel=0.05)


def test_a_plan_for_one_machine_says_that_a_pool_would_not_help() -> None:
    told = describe(place(TOY, [host(1 << 30)], EngineSettings(512, 1)), [])
    assert any("fits on one machine" in note for note in told["notes"])


def test_who_has_no_share_is_named_with_the_reason() -> None:
    leader = member_view(member(), ANNA, TOY)
    old = member_view(member(replace(PROFILE, name="bert", engine_commit="old"), BERT), ANNA, TOY)
    slow = member_view(member(replace(PROFILE, name="carl"), NodeId(b"c" * 16)), ANNA, TOY)
    plan = place(TOY, [replace(leader.devices[0], memory_offered=1 << 30)], EngineSettings(512, 1))
    reasons = {entry["name"]: entry["reason"] for entry in left_out(plan, [leader, old, slow], leader)}
    assert set(reasons) == {"bert", "carl"}
    assert reasons["carl"] == "the plan is faster without it"
    assert reasons["bert"] != reasons["carl"]


# --- a pool described in a file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ModelSpec(layers=6, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)
    return generate(tmp_path_factory.mktemp("model") / "small.gguf", spec)[0]


@pytest.fixture
def described(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "pool.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_two_described_machines_share_a_model(model: Path, described: Callable[[Any], Path]) -> None:
    anna = {"name": "anna", "memory": "8G", "leader": True}
    bert = {"name": "bert", "memory": 8 << 30, "rtt_ms": 0.4, "kind": "cuda", "layer_ms": 2.5}
    pool = described({"members": [bert, anna], "context": 128, "slots": 2})
    plan = plan_from_file(pool, model, {"anna": 2, "bert": 4}, {})
    assert [(stage["member"], stage["layers"]) for stage in plan["stages"]] == [
        ("anna", [0, 1]),
        ("bert", [2, 5]),
    ]
    assert (plan["context"], plan["slots"]) == (128, 2)
    assert plan["stages"][1]["terms_ms"]["layers"] == pytest.approx(4 * 2.5)


def test_the_first_described_machine_leads_when_none_is_marked(
    model: Path, described: Callable[[Any], Path]
) -> None:
    pool = described({"members": [{"name": "anna", "memory": "8G"}, {"name": "bert", "memory": "8G"}]})
    plan = plan_from_file(pool, model, None, {})
    assert [stage["name"] for stage in plan["stages"]] == ["anna"]
    assert [entry["name"] for entry in plan["left_out"]] == ["bert"]


def test_a_described_pool_that_is_too_small_is_told_what_is_missing(
    model: Path, described: Callable[[Any], Path]
) -> None:
    pool = described({"members": [{"name": "anna", "memory": "1M"}]})
    with pytest.raises(Infeasible, match="anna"):
        plan_from_file(pool, model, None, {})


def test_a_described_pool_needs_a_model_and_knows_its_members(
    model: Path, described: Callable[[Any], Path]
) -> None:
    pool = described({"members": [{"name": "anna", "memory": "8G"}]})
    with pytest.raises(MeshError, match="needs a model"):
        plan_from_file(pool, None, None, {})
    with pytest.raises(MeshError, match="no member is called bert"):
        plan_from_file(pool, model, {"bert": 2}, {})


CARD = {"name": "CUDA0", "kind": "cuda", "memory": "1G", "layer_ms": 1.0}
CARDS = {
    "name": "anna",
    "rtt_ms": 0.5,
    "devices": [CARD, {"name": "CPU", "memory": "8G", "layer_ms": 9.0}],
}


def test_a_described_machine_of_several_devices_is_planned_by_device(
    model: Path, described: Callable[[Any], Path]
) -> None:
    pool = described({"members": [{"name": "bert", "memory": "1M", "leader": True}, CARDS]})
    plan = plan_from_file(pool, model, {"anna/cpu": 2}, {})
    shown = [(stage["member"], stage["name"], stage["device"]) for stage in plan["stages"]]
    assert sorted(shown) == [("anna", "anna/CPU", "CPU"), ("anna", "anna/CUDA0", "CUDA0")]
    counts = {stage["device"]: stage["layers"][1] - stage["layers"][0] + 1 for stage in plan["stages"]}
    assert counts == {"CUDA0": 4, "CPU": 2}
    whole = plan_from_file(pool, model, {"anna": 6}, {})
    assert [stage["device"] for stage in whole["stages"]] == ["CUDA0"]
    assert {entry["name"]: entry["reason"] for entry in whole["left_out"]} == {
        "bert": "what it offers holds not even one layer",
        "anna/CPU": "the plan is faster without it",
    }


def test_the_leader_of_a_described_pool_has_a_processor_beside_its_cards(
    model: Path, described: Callable[[Any], Path]
) -> None:
    plan = plan_from_file(described({"members": [CARDS]}), model, {"anna/cuda0": 4}, {})
    assert [(stage["name"], stage["layers"]) for stage in plan["stages"]] == [
        ("anna/CPU", [0, 1]),
        ("anna/CUDA0", [2, 5]),
    ]


@pytest.mark.parametrize(
    "devices",
    [[], "CUDA0", [{"name": "CUDA0"}], [{"name": "a/b", "memory": "1G"}], [CARD, CARD]],
)
def test_described_devices_that_make_no_sense_are_refused(
    model: Path, described: Callable[[Any], Path], devices: Any
) -> None:
    with pytest.raises(MeshError, match="anna"):
        plan_from_file(described({"members": [{"name": "anna", "devices": devices}]}), model, None, {})


def test_a_described_pool_is_planned_for_what_serve_would_be_asked(
    model: Path, described: Callable[[Any], Path], tmp_path: Path
) -> None:
    pool = described({"members": [{"name": "anna", "memory": "8G"}], "context": 128, "slots": 2})
    asked = plan_from_file(pool, model, None, {"context": 256, "kv": "q8_0"})
    assert (asked["context"], asked["slots"]) == (256, 2)
    less = asked["stages"][0]["bytes"]
    assert plan_from_file(pool, model, None, {"context": 4096})["stages"][0]["bytes"] > less
    with pytest.raises(MeshError, match="is no projector"):
        plan_from_file(pool, model, None, {}, projector=model)

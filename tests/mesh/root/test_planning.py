"""Members as placement sees them, plans as people read them, and pools that are only described in a file."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leader.cost import assumed_layer_seconds
from leader.placement import Infeasible, place
from mesh.protocol.views import Member
from mesh.root.generator import ModelSpec, generate
from mesh.root.planning import (
    UNMEASURED_RTT,
    context_of,
    describe,
    device,
    fixed_layers,
    layers,
    left_out,
    member_view,
    plan_from_file,
)
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.facts import Model, Profile, Record
from mesh.wire.identity import NodeId, PoolId, id_text
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.leader.shapes import MIB, host, shape, worker

ANNA, BERT = NodeId(b"a" * 16), NodeId(b"b" * 16)
TOY = shape()
PROFILE = Profile(
    name="anna", accelerator_kind="cuda", memory_offered=60 * MIB, engine_state="ready",
    engine_commit="abc", engine_rpc="7.0.0", models=(Model("toy", 8, b"r" * 32),), rank=5,
)  # fmt: skip


def member(
    profile: Profile | None = PROFILE,
    id: NodeId = ANNA,
    rights: Rights = ALL_RIGHTS,
    state: str = "alive",
    rtt: float | None = 0.002,
) -> Member:
    pool = PoolId(b"p" * 16)
    record = None if profile is None else Record(pool, id, 1, bytes(8), 1, False, profile)
    return Member(id, b"k" * 32, rights, record, state, Endpoint("192.0.2.1", 50052), rtt)


# --- members


def test_a_member_is_seen_with_all_that_the_reconciler_asks() -> None:
    view = member_view(member(), BERT, TOY)
    assert (view.name, view.alive, view.work, view.lead, view.paused) == ("anna", True, True, True, False)
    assert (view.engine, view.engine_version) == ("ready", "abc 7.0.0")
    assert view.models == {b"r" * 32}
    assert view.device is not None


@pytest.mark.parametrize(
    ("state", "alive"), [("alive", True), ("suspect", True), ("dead", False), ("left", False)]
)
def test_a_suspected_member_still_counts_as_alive(state: str, alive: bool) -> None:
    assert member_view(member(state=state), BERT, None).alive is alive


def test_rights_and_what_a_member_offers_must_agree() -> None:
    assert not member_view(member(rights=Rights.LEAD), BERT, None).work
    assert not member_view(member(rights=Rights.WORK), BERT, None).lead
    assert not member_view(member(replace(PROFILE, memory_offered=0)), BERT, None).work
    assert not member_view(member(replace(PROFILE, rank=0)), BERT, None).lead


def test_a_member_that_was_never_heard_of_can_do_nothing() -> None:
    view = member_view(member(None), BERT, TOY)
    assert view.name == id_text(ANNA)[:8]
    assert (view.work, view.lead, view.engine) == (False, False, "missing")


def test_the_leaders_own_device_has_no_network_before_it() -> None:
    own = device(ANNA, PROFILE, 0.002, TOY, ANNA)
    assert (own.local, own.rtt, own.accelerator) == (True, 0.0, "CUDA0")


def test_a_workers_device_is_as_far_as_was_measured() -> None:
    far = device(ANNA, PROFILE, 0.002, TOY, BERT)
    assert (far.local, far.rtt, far.accelerator) == (False, 0.002, "")
    assert device(ANNA, PROFILE, None, TOY, BERT).rtt == UNMEASURED_RTT
    assert far.layer_seconds == assumed_layer_seconds(TOY, "cuda")


# --- what was asked for


@pytest.mark.parametrize(
    ("trained", "asked", "context"),
    [(131072, None, 4096), (2048, None, 2048), (0, None, 4096), (2048, 512, 512), (2048, 8192, 8192)],
)
def test_the_context_is_what_was_asked_else_modest(trained: int, asked: int | None, context: int) -> None:
    assert context_of(replace(TOY, context_train=trained), asked) == context


def test_layers_are_fixed_by_name_or_id() -> None:
    members = [member(), member(replace(PROFILE, name="bert"), BERT)]
    assert fixed_layers({"anna": 3, id_text(BERT): 5}, members) == {ANNA: 3, BERT: 5}
    assert fixed_layers(None, members) == {}


def test_layers_for_nobody_or_for_one_of_two_are_refused() -> None:
    with pytest.raises(MeshError, match="no member is called carl"):
        fixed_layers({"carl": 3}, [member()])
    with pytest.raises(MeshError, match="several members are called anna"):
        fixed_layers({"anna": 3}, [member(), member(id=BERT)])


# --- plans for people


def test_a_plans_terms_add_up_and_its_layers_follow_each_other() -> None:
    plan = place(TOY, [host(40 * MIB), worker(1), worker(2)], 512, 1)
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
    told = describe(place(TOY, [host(1 << 30)], 512, 1), [])
    assert any("fits on one machine" in note for note in told["notes"])


def test_a_stage_with_the_head_alone_has_no_layers() -> None:
    stage = place(TOY, [host(1 << 30)], 512, 1).stages[0]
    assert layers(stage) == (0, TOY.n_layers - 1)
    first, last = layers(replace(stage, layers=0))
    assert first > last


def test_who_has_no_share_is_named_with_the_reason() -> None:
    leader = member_view(member(), ANNA, TOY)
    old = member_view(member(replace(PROFILE, name="bert", engine_commit="old"), BERT), ANNA, TOY)
    slow = member_view(member(replace(PROFILE, name="carl"), NodeId(b"c" * 16)), ANNA, TOY)
    assert leader.device is not None
    plan = place(TOY, [replace(leader.device, memory_offered=1 << 30)], 512, 1)
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
    plan = plan_from_file(pool, model, {"anna": 2, "bert": 4})
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
    plan = plan_from_file(pool, model, None)
    assert [stage["name"] for stage in plan["stages"]] == ["anna"]
    assert [entry["name"] for entry in plan["left_out"]] == ["bert"]


def test_a_described_pool_that_is_too_small_is_told_what_is_missing(
    model: Path, described: Callable[[Any], Path]
) -> None:
    pool = described({"members": [{"name": "anna", "memory": "1M"}]})
    with pytest.raises(Infeasible, match="anna"):
        plan_from_file(pool, model, None)


def test_a_described_pool_needs_a_model_and_knows_its_members(
    model: Path, described: Callable[[Any], Path]
) -> None:
    pool = described({"members": [{"name": "anna", "memory": "8G"}]})
    with pytest.raises(MeshError, match="needs a model"):
        plan_from_file(pool, None, None)
    with pytest.raises(MeshError, match="no member is called bert"):
        plan_from_file(pool, model, {"bert": 2})

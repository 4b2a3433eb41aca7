"""The driver before a real Node: what it sees of it, and what it makes of an action there."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.planner import place
from leader.reconcile.driver import (
    LOOK,
    SOONEST,
    Input,
    LeaderDriver,
    both_ends,
    cut,
    pause,
    stages,
    told_seconds,
)
from leader.reconcile.view import (
    Copying,
    Decision,
    HandOver,
    MemberView,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    Running,
    View,
    Wanted,
    WantLeases,
)
from mesh.wire.errors import MeshError
from mesh.wire.facts import PoolState, Quarantine, Resignation, Stage
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies, LeaseGrant, LeaseRelease, LeaseRequest, Ping
from mesh.wire.profile import Model
from mesh.wire.signed_facts import decode, sign
from mesh.wire.states import Phase
from tests.leader.shapes import GIB, MIB, host, model_info, worker
from tests.mesh.protocol.stage import Actor
from tests.mesh.protocol.stage import Stage as Led

ROOT = b"r" * 32
TOY = model_info(8)
PLAN = place(TOY, [host(60 * MIB), worker(1)], EngineSettings(512, 1))
WANTED = Wanted("toy", ROOT, EngineSettings(512))


class Local:
    """An owner of whom everything is set by hand."""

    def __init__(self) -> None:
        self.present: Running | None = None
        self.shapes = {ROOT: TOY}

    def running(self) -> Running | None:
        return self.present

    def asked(self) -> str:
        return "idle"

    def model_info(self, root: bytes, projector: bytes = b"") -> ModelInfo | None:
        found = self.shapes.get(root)
        if found is None or not projector:
            return found
        return replace(found, projector=Path("mmproj.gguf")) if projector in self.shapes else None

    def lost(self, root: bytes) -> str:
        return f"{root[:1].decode()}.gguf"

    def copying(self) -> Copying | None:
        return Copying(1, 2)


class Driven:
    """A Node that leads, one more member, and the driver of its reconciler."""

    def __init__(self) -> None:
        self.stage = Led(rank=10)
        self.other = self.stage.member(2, rank=1)
        self.stage.wait(5.0)
        self.local = Local()
        self.driver = LeaderDriver(self.stage.node, self._do, self.local)
        assert self.driver.leads

    def _do(self, step: Input) -> None:
        self.stage.perform(step(self.stage.now))

    def deploy(self, layers: tuple[tuple[NodeId, int], ...] = ()) -> None:
        stage = self.stage
        stage.perform(stage.node.deploy(stage.now, Model("toy", 8, ROOT), 512, 1, True, layers))

    def view(self) -> View:
        return self.driver.view(self.stage.now)

    def seen(self, actor: Actor) -> MemberView:
        return next(member for member in self.view().members if member.id == actor.id)


@pytest.fixture
def driven() -> Driven:
    return Driven()


# --- the view


def test_where_nothing_is_deployed_the_view_holds_what_runs_and_what_was_asked(driven: Driven) -> None:
    driven.local.present = Running(WANTED, PLAN, Phase.READY)
    expected = View(driven.stage.node.id, True, running=driven.local.present, asked="idle")
    assert driven.view() == expected


def test_a_node_that_follows_sees_nothing_of_the_deployment(driven: Driven) -> None:
    driven.deploy()
    driven.driver.perform(HandOver(driven.other.id, "it holds the file"))
    assert not driven.driver.leads
    assert driven.view() == View(driven.stage.node.id, False, asked="idle")


def test_a_leader_sees_the_deployment_its_members_and_what_is_copied(driven: Driven) -> None:
    driven.deploy(((driven.other.id, 3),))
    view = driven.view()
    assert view.wanted == replace(WANTED, layers={(driven.other.id, ""): 3})
    assert {member.id for member in view.members} == {driven.stage.node.id, driven.other.id}
    assert all(member.devices for member in view.members)
    assert (view.model_info, view.lost, view.copying, view.asked) == (TOY, "", Copying(1, 2), "idle")


def test_a_model_that_is_not_at_hand_is_seen_with_the_file_that_was_lost(driven: Driven) -> None:
    driven.deploy()
    driven.local.shapes.clear()
    view = driven.view()
    assert (view.model_info, view.lost) == (None, "r.gguf")
    assert [member.devices for member in view.members] == [(), ()]


def test_a_deployment_with_a_second_file_is_seen_once_both_are_at_hand(driven: Driven) -> None:
    stage, beside = driven.stage, Model("mmproj.gguf", 77, b"p" * 32)
    options = (("kv", "q8_0"),)
    toy = Model("toy", 8, ROOT)
    stage.perform(stage.node.deploy(stage.now, toy, 512, 1, True, (), 2, options, beside))
    view = driven.view()
    settings = EngineSettings(512, kv="q8_0", projector=77)
    assert view.wanted == replace(WANTED, settings=settings, projector=beside)
    assert (view.model_info, view.lost) == (None, "r.gguf")
    driven.local.shapes[beside.root] = TOY
    assert driven.view().model_info == replace(TOY, projector=Path("mmproj.gguf"))


def test_a_worker_whose_connection_broke_is_probed_and_not_reachable_for_a_while(driven: Driven) -> None:
    driven.deploy()
    driven.stage.take(Ping)
    now = driven.stage.now
    driven.driver.connection_lost(now, driven.other.id, now + 1.0, "it was reset")
    assert driven.stage.take(Ping, driven.other)
    assert not driven.seen(driven.other).reachable
    driven.stage.wait(1.0)
    assert driven.seen(driven.other).reachable


# --- actions


def test_leases_are_asked_for_seen_and_given_back(driven: Driven) -> None:
    driven.deploy()
    driven.driver.perform(WantLeases(frozenset({driven.other.id})))
    [request] = driven.stage.take(LeaseRequest, driven.other)
    assert driven.view().leases == frozenset()
    claim = driven.stage.node.leader()
    assert claim is not None
    driven.other.says(LeaseGrant(request.number, claim.term))
    assert driven.view().leases == {driven.other.id}
    driven.driver.perform(ReleaseLeases(frozenset({driven.other.id})))
    assert driven.stage.take(LeaseRelease, driven.other)
    assert driven.view().leases == frozenset()


def reported(driven: Driven, report: Report) -> PoolState:
    driven.driver.perform(report)
    driven.stage.wait(10.0)
    state = driven.stage.node.pool_state()
    assert state is not None
    return state


def test_a_report_tells_the_pool_of_the_plan_that_runs(driven: Driven) -> None:
    driven.deploy()
    driven.deploy()
    driven.local.present = Running(WANTED, PLAN, Phase.LOADING)
    driven.driver.view(driven.stage.now)
    state = reported(driven, Report(Phase.LOADING, 0.25, "é" * 500))
    deployment = driven.stage.node.deployment()
    assert deployment is not None
    assert (state.deployment, state.phase, state.progress) == (deployment.number, "loading", 0.25)
    assert state.reason == "é" * 88 + "..."
    assert state.tokens_per_second == PLAN.predicted_tokens_per_second
    assert state.stages == stages(PLAN)


def test_a_report_while_nothing_runs_has_no_stages(driven: Driven) -> None:
    driven.deploy()
    driven.driver.view(driven.stage.now)
    state = reported(driven, Report(Phase.WAITING))
    assert (state.phase, state.stages, state.tokens_per_second) == ("waiting", (), 0.0)


def test_leadership_is_handed_over(driven: Driven) -> None:
    driven.driver.perform(HandOver(driven.other.id, "it holds the file"))
    facts = [decode(body).fact for told in driven.stage.take(Bodies, driven.other) for body in told.facts]
    assert [fact.successor for fact in facts if isinstance(fact, Resignation)] == [driven.other.id]
    assert not driven.driver.leads


def test_a_hand_over_that_the_node_refuses_is_an_error(driven: Driven) -> None:
    with pytest.raises(MeshError, match="cannot lead"):
        driven.driver.perform(HandOver(b"?" * 16, "nobody knows it"))


def test_failures_in_a_row_are_counted_from_one_decision_to_the_next(driven: Driven) -> None:
    driven.deploy()
    alone = place(TOY, [replace(host(GIB), member=driven.stage.node.id)], EngineSettings(512, 1))
    driven.local.present = Running(WANTED, alone, Phase.FAILED, reason="it crashed")
    view = replace(driven.view(), leases=frozenset({driven.stage.node.id}))
    for failures in (1, 2, 3):
        driven.driver.decide(driven.stage.now, view)
        assert driven.driver.memory.failures == failures


# --- when to decide again


@pytest.mark.parametrize(
    ("again_at", "seconds"), [(None, LOOK), (100.5, 0.5), (200.0, LOOK), (100.0, SOONEST), (90.0, SOONEST)]
)
def test_the_pause_ends_when_the_decision_says_but_within_bounds(
    again_at: float | None, seconds: float
) -> None:
    assert pause(100.0, Decision((), ReconcilerMemory(), again_at)) == seconds


# --- what the pool is told of a plan


def test_stages_are_told_with_their_layers_and_milliseconds() -> None:
    plan = place(TOY, [host(GIB)], EngineSettings(512, 1))
    [only] = plan.stages
    member = NodeId(only.device.member)
    assert stages(plan) == (Stage(member, 0, 7, True, only.bytes, only.seconds * 1000),)


def test_a_device_with_the_head_alone_is_told_and_one_with_nothing_is_not() -> None:
    plan = place(TOY, [host(GIB)], EngineSettings(512, 1))
    head = replace(plan.stages[0], layers=0, head=True)
    [told] = stages(replace(plan, stages=(head, replace(head, head=False))))
    assert (told.first, told.last, told.head) == (1, 0, True)


def test_a_reason_that_is_too_long_is_cut_behind_a_word() -> None:
    assert cut("word " * 36) == "word " * 36, "180 bytes are not too many"
    assert cut("word " * 35 + "needless") == "word " * 34 + "word..."
    assert cut("one (" + "x" * 500) == "one..."


# --- what became of loads


CLOSED = "the worker closed the tunnel"


def judged(driven: Driven, seconds: float = 5.0) -> View:
    """The view after so many seconds, in which the other member renews its lease and answers pings."""
    stage, claim = driven.stage, driven.stage.node.leader()
    assert claim is not None
    for _ in range(int(2 * seconds)):
        for request in stage.take(LeaseRequest, driven.other):
            driven.other.says(LeaseGrant(request.number, claim.term))
        stage.wait(0.5)
        driven.view()
    return driven.view()


def loads(driven: Driven) -> tuple[bytes, str]:
    """The other member's device, of which a plan is being loaded."""
    driven.deploy()
    driven.driver.perform(WantLeases(frozenset({driven.other.id})))
    judged(driven, 20.0)
    device = replace(worker(1), member=driven.other.id, device="CPU")
    plan = place(TOY, [replace(host(60 * MIB), member=driven.stage.node.id), device], EngineSettings(512, 1))
    driven.driver.ledger.began(plan)
    driven.local.present = Running(WANTED, plan, Phase.LOADING)
    return device.key


def test_who_ended_a_load_is_not_counted_on_and_then_left_out_and_told(driven: Driven) -> None:
    key = loads(driven)
    now = driven.stage.now
    driven.driver.connection_lost(now, driven.other.id, now, CLOSED)
    view = driven.view()
    assert view.doubted == {driven.other.id}
    assert view.left_out == {}
    assert not driven.seen(driven.other).reachable
    view = judged(driven)
    assert set(view.left_out) == {key}
    assert driven.seen(driven.other).reachable
    [told] = reported(driven, Report(Phase.WAITING, 0.0, "x")).quarantines
    assert (told.member, told.device, told.reason) == (driven.other.id, "", CLOSED)
    assert told.seconds in (50, 60)


def test_a_workers_last_words_leave_it_out_at_once(driven: Driven) -> None:
    key = loads(driven)
    driven.driver.stood_still(driven.stage.now, driven.other.id, "no progress", ["CPU"])
    driven.driver.heard(driven.other.id, "ended with SIGABRT")
    assert driven.view().left_out[key].reason == "ended with SIGABRT"


def test_who_has_not_the_memory_is_left_out_at_once(driven: Driven) -> None:
    key = loads(driven)
    driven.driver.refused_memory(driven.stage.now, driven.other.id, "no memory", ["CPU"])
    assert driven.view().left_out[key].reason == "no memory"


def test_who_does_not_answer_any_more_is_not_blamed(driven: Driven) -> None:
    loads(driven)
    now = driven.stage.now
    driven.other.answers = False
    driven.driver.connection_lost(now, driven.other.id, now, CLOSED)
    driven.stage.wait(6.0)
    assert driven.view().left_out == {}
    assert len(driven.view().failed_plans) == 1


def test_who_refuses_a_leader_that_has_just_reclaimed_is_not_blamed(driven: Driven) -> None:
    """Its gate knows the claim by which it granted its lease, until it renews that."""
    loads(driven)
    driven.other.tells(driven.other.claim(7))
    assert driven.driver.leads
    driven.view()
    now = driven.stage.now
    driven.driver.connection_lost(now, driven.other.id, now, "the worker's gate refused")
    assert judged(driven).left_out == {}


def test_the_next_leader_adopts_what_the_one_before_it_left_out() -> None:
    driven = Driven()
    stage, other = driven.stage, driven.other
    driven.deploy()
    driven.driver.perform(HandOver(other.id, "it holds the file"))
    third, term = NodeId(b"3" * 16), 9
    other.tells(other.claim(term))
    left_out = (Quarantine(other.id, "", 240, "it aborted"), Quarantine(third, "CUDA0", 120, "no memory"))
    state = PoolState(stage.pool, other.id, term, 1, 1, "ready", 1.0, "", 1.0, (), "", left_out)
    other.tells(other.sign(state))
    assert not driven.view().leading
    other.tells(other.resignation(term, stage.node.id))
    stage.wait(10.0)
    assert driven.driver.leads
    assert {key: one.reason for key, one in driven.view().left_out.items()} == {
        (other.id, ""): "it aborted",
        (third, "CUDA0"): "no memory",
    }


@given(st.text(max_size=200), st.integers(40, 120))
def test_of_a_long_reason_both_ends_are_told_within_the_bound(reason: str, most: int) -> None:
    told = both_ends(reason, most)
    assert len(told.encode()) <= most
    assert told == reason or len(reason.encode()) > most


def test_how_a_program_ended_and_its_last_words_are_told_where_all_is_too_long() -> None:
    said = "its backend lacks an operation of this model: error: unsupported op 'SSM_SCAN'"
    assert both_ends(f"rpc-server was killed by SIGABRT: {said}", 96) == (
        "rpc-server was killed by SIGABRT: its... of this model: error: unsupported op 'SSM_SCAN'"
    )
    assert both_ends("a" * 100, 50) == "a" * 22 + "... " + "a" * 24


def test_a_leader_that_starts_anew_adopts_what_it_told_before_that() -> None:
    driven = Driven()
    stage, me, bert = driven.stage, driven.stage.node.id, NodeId(b"3" * 16)
    told = (Quarantine(bert, "CUDA0", 240, "it aborted"),)
    state = PoolState(stage.pool, me, 1, 1, 1, "ready", 1.0, "", 1.0, (), "", told)
    restarted = stage.restarted()
    driven.other.meets(restarted)
    driven.other.tells(sign(state, stage.signer).data)
    driven.stage = restarted
    driven.driver = LeaderDriver(restarted.node, driven._do, driven.local)
    restarted.wait(5.0)
    driven.deploy()
    view = driven.view()
    assert view.leading
    assert view.left_out.keys() == {(bert, "CUDA0")}
    assert driven.driver.ledger.left_out(restarted.now + 241.0) == {}


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.1, 10), (60.0, 60), (60.1, 120), (600.0, 600), (601.0, 900), (3600.0, 3600)]
)
def test_seconds_are_told_in_steps_that_grow(seconds: float, told: int) -> None:
    assert told_seconds(seconds) == told

import pytest

from mesh.protocol.base.effects import Notice, StateChanged
from mesh.wire.facts import PoolState, Quarantine, Record
from mesh.wire.facts import Stage as Layers
from mesh.wire.profile import MAX_ADDRESSES, MAX_MODELS, MAX_NAME, Model
from mesh.wire.signed_facts import sign
from mesh.wire.states import Phase
from mesh.wire.versions import CLOSED
from tests.mesh.protocol.stage import OWN_ADDRESS, Stage, grown_stage


def _record(stage: Stage) -> Record:
    record = next(m.record for m in stage.node.members() if m.id == stage.node.id)
    assert record is not None
    return record


def test_a_changed_profile_makes_a_new_record_at_most_twice_a_second() -> None:
    stage = Stage()
    stage.wait(1.0)
    for number in range(10):
        stage.republish(name=f"name{number}")
        stage.wait(0.05)
    assert _record(stage).sequence == 2
    stage.wait(0.5)
    assert _record(stage).sequence == 3
    assert _record(stage).profile.name == "name9"


def test_an_unchanged_profile_makes_none() -> None:
    stage = Stage()
    stage.wait(1.0)
    stage.republish()
    stage.wait(1.0)
    assert _record(stage).sequence == 1


def test_small_changes_of_rank_and_free_memory_are_not_told() -> None:
    stage = Stage(rank=100)
    stage.republish(memory_free=10**9)
    stage.wait(1.0)
    before = _record(stage)
    stage.republish(rank=105, memory_free=10**9 + 10**7)
    stage.wait(1.0)
    assert _record(stage) == before
    stage.republish(rank=120)
    stage.wait(1.0)
    assert _record(stage).profile.rank == 120


def test_a_restart_makes_a_higher_incarnation_with_another_nonce() -> None:
    stage = Stage()
    again = stage.restarted()
    assert _record(again).generation == _record(stage).generation + 1


def _models(count: int, length: int = 1) -> tuple[Model, ...]:
    return tuple(Model(str(number) * length, 1 << 40, bytes(32)) for number in range(count))


def test_models_beyond_those_that_a_record_holds_are_noted_with_what_to_do() -> None:
    stage = Stage()
    stage.wait(1.0)
    stage.republish(models=_models(MAX_MODELS + 1))
    [notice] = stage.told(Notice)
    assert notice == Notice(
        "warning",
        f"this machine's record has no room for models: {MAX_MODELS}: the others do not see that;"
        " a model that is served is always told. To hold fewer: mesh models --prune",
    )
    assert len(_record(stage).profile.models) == MAX_MODELS


def test_what_a_record_does_without_is_noted_once_and_again_when_it_is_more() -> None:
    stage = Stage()
    stage.member(2, speaks=CLOSED)  # whose records are smaller
    stage.wait(1.0)
    stage.told(Notice)
    addresses = (OWN_ADDRESS,) * MAX_ADDRESSES
    stage.republish(engine_reason="w" * 120, models=_models(MAX_MODELS, 40), addresses=addresses)
    stage.wait(1.0)
    stage.republish(memory_free=1 << 40)
    stage.wait(1.0)
    [notice] = stage.told(Notice)
    assert notice.text.startswith("this machine's record has no room for the reason of the engine's state: ")
    assert notice.text.endswith("nothing needs to be done")
    assert (notice.level, _record(stage).profile.engine_reason) == ("warning", "")
    stage.republish(models=_models(MAX_MODELS, MAX_NAME))
    stage.wait(1.0)
    [notice] = stage.told(Notice)
    assert "the ends of the models' names" in notice.text


def _report(stage: Stage, phase: Phase, progress: float) -> None:
    stages = (Layers(stage.node.id, 0, 9, True, 1, 1.0),)
    stage.perform(stage.node.report(stage.now, 1, phase, progress, "", 1.0, stages))


def test_progress_is_published_every_two_seconds_at_most_and_the_last_state_always() -> None:
    stage = Stage()
    stage.wait(1.0)
    for step in range(30):
        _report(stage, Phase.LOADING, step / 30)
        stage.wait(0.1)
    assert len(stage.told(StateChanged)) == 2
    stage.wait(2.0)
    state = stage.node.pool_state()
    assert state is not None
    assert state.progress == 29 / 30


def test_a_new_phase_is_told_at_once() -> None:
    stage = Stage()
    stage.wait(1.0)
    _report(stage, Phase.LOADING, 0.5)
    stage.wait(0.4)
    _report(stage, Phase.READY, 1.0)
    state = stage.node.pool_state()
    assert state is not None
    assert state.phase == "ready"


def test_a_leader_that_claims_anew_says_at_once_what_holds_on() -> None:
    stage = Stage(rank=10)
    stage.wait(1.0)
    _report(stage, Phase.READY, 1.0)
    gone, volunteer = stage.member(2, rank=99), stage.member(3)
    gone.tells(gone.record(sequence=2, left=True))
    volunteer.tells(gone.claim(40))
    stage.wait(2.0)
    state, leader = stage.node.pool_state(), stage.node.leader()
    assert leader is not None
    assert leader.term == 41
    assert state is not None
    assert (state.term, state.phase) == (41, "ready")


def test_what_was_said_in_a_leadership_before_does_not_hold_on() -> None:
    stage = Stage(rank=10)
    stage.wait(1.0)
    _report(stage, Phase.READY, 1.0)
    rival, gone = stage.member(2, rank=50), stage.member(3, rank=99)
    rival.tells(rival.claim(5))
    rival.tells(rival.resignation(5, successor=stage.node.id))
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (stage.node.id, 6)
    gone.tells(gone.record(sequence=2, left=True))
    rival.tells(gone.claim(40))
    stage.wait(2.0)
    leader = stage.node.leader()
    assert leader is not None
    assert leader.term == 41
    assert stage.node.pool_state() is None


def test_a_member_that_does_not_lead_reports_nothing() -> None:
    stage = Stage()
    _report(stage, Phase.READY, 1.0)
    assert stage.node.pool_state() is None


def test_a_former_leaders_word_is_not_shown() -> None:
    stage = Stage(rank=1)
    stage.wait(1.0)
    _report(stage, Phase.READY, 1.0)
    leader = stage.member(2, rank=50)
    leader.tells(leader.claim(9))
    assert stage.node.pool_state() is None


@pytest.mark.parametrize("term", [1, 40])
def test_a_leader_that_meets_its_own_report_of_a_forgotten_run_is_heard_again(term: int) -> None:
    stage = Stage()
    stage.wait(1.0)
    _report(stage, Phase.LOADING, 0.5)
    volunteer = stage.member(2)
    forgotten = PoolState(stage.pool, stage.node.id, term, 11, 2, "ready", 1.0, "", 1.0, ())
    volunteer.tells(sign(forgotten, stage.signer).data)
    _report(stage, Phase.WAITING, 0.0)
    stage.wait(0.4)
    state, leader = stage.node.pool_state(), stage.node.leader()
    assert state is not None
    assert leader is not None
    assert (state.phase, state.term, leader.author) == ("waiting", term + 1, stage.node.id)


def test_a_follower_goes_beyond_its_own_forgotten_state_once_it_leads() -> None:
    stage = Stage()
    volunteer = stage.member(2)
    forgotten = PoolState(stage.pool, stage.node.id, 40, 11, 2, "ready", 1.0, "", 1.0, ())
    volunteer.tells(sign(forgotten, stage.signer).data)
    stage.wait(4.0)
    _report(stage, Phase.WAITING, 0.0)
    state = stage.node.pool_state()
    assert state is not None
    assert (state.phase, state.term) == ("waiting", 41)


@pytest.mark.parametrize("records", [1, 2, 5])
def test_who_is_shown_a_record_of_another_run_by_its_incarnation_overtakes_it(records: int) -> None:
    stage = Stage()
    volunteer = stage.member(2)
    former = Record(stage.pool, stage.node.id, 1, b"87654321", 1, False, stage.profile)
    for number in range(1, records):
        stage.republish(name=f"name{number}")
        stage.wait(1.0)
    assert _record(stage).generation == 1
    volunteer.tells(sign(former, stage.signer).data)
    assert _record(stage).generation == 2


def test_a_profile_that_waits_while_the_form_changes_is_signed_once_in_the_new_form() -> None:
    stage = Stage()
    stage.wait(1.0)
    stage.republish(name="first", build="1.2.3")
    stage.republish(name="second")
    before = _record(stage)
    assert (before.sequence, before.profile.name, before.profile.build) == (2, "first", "1.2.3")
    stage.member(2, speaks=CLOSED)
    assert _record(stage) == before
    stage.wait(0.6)
    assert (_record(stage).sequence, _record(stage).profile.name, _record(stage).profile.build) == (
        3,
        "second",
        "",
    )
    stage.wait(5.0)
    assert _record(stage).sequence == 3


def test_a_profile_that_is_back_as_it_was_is_signed_all_the_same_in_the_new_form() -> None:
    stage = Stage()
    stage.wait(1.0)
    stage.republish(build="1.2.3")
    stage.member(2, speaks=CLOSED)
    stage.republish(name="another")
    stage.republish(name="self")
    assert _record(stage).profile.build == "1.2.3"
    stage.wait(0.6)
    assert (_record(stage).profile.build, _record(stage).profile.name) == ("", "self")
    stage.wait(5.0)
    assert _record(stage).sequence == 3


def _warnings(stage: Stage) -> list[str]:
    return [notice.text for notice in stage.told(Notice) if "no room" in notice.text]


def test_what_a_record_has_no_room_for_is_told_once() -> None:
    stage = Stage()
    stage.wait(1.0)
    models = tuple(Model(f"model {number}", number, bytes([number]) * 32) for number in range(10))
    stage.republish(models=models)
    [warning] = _warnings(stage)
    assert warning.startswith("this machine's record has no room for models: model 8, model 9: ")
    stage.wait(1.0)
    stage.republish(name="renamed")
    stage.wait(1.0)
    assert _warnings(stage) == []
    assert _record(stage).profile.models == models[:8]
    stage.republish(models=models[:9])
    [warning] = _warnings(stage)
    assert warning.startswith("this machine's record has no room for models: model 8: ")


def test_what_the_older_form_has_no_room_for_is_told_and_comes_back_with_the_newer() -> None:
    stage = grown_stage()
    assert _warnings(stage) == []
    full = _record(stage).profile
    older = stage.member(2, speaks=CLOSED)
    [warning] = _warnings(stage)
    assert "the ends of the models' names" in warning
    older.tells(older.record(sequence=2, left=True))
    stage.wait(6.0)
    assert _record(stage).profile == full


def test_a_state_of_a_leadership_before_is_not_said_again_when_the_form_changes() -> None:
    stage = Stage(rank=10)
    stage.wait(1.0)
    quarantines = (Quarantine(stage.node.id, "", 60, "too slow"),)
    stage.perform(stage.node.report(stage.now, 1, Phase.READY, 1.0, "", 1.0, (), quarantines))
    rival = stage.member(2, rank=50)
    rival.tells(rival.claim(5))
    rival.tells(rival.resignation(5, successor=stage.node.id))
    stage.member(3, speaks=CLOSED)
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (stage.node.id, 6)
    assert stage.node.pool_state() is None

import pytest

from mesh.protocol.base.effects import GateChanged, Persist, Send
from mesh.wire import codec, signed_facts
from mesh.wire.messages import LeaseGrant, LeaseRefusal, LeaseRelease, LeaseRequest, Vote, VoteRequest
from mesh.wire.rights import Rights
from tests.mesh.protocol.stage import Actor, Stage

Answer = LeaseGrant | LeaseRefusal


def _ask(
    stage: Stage, actor: Actor, term: int, number: int = 1, release: bytes = b""
) -> LeaseGrant | LeaseRefusal | None:
    stage.take(LeaseGrant)
    stage.take(LeaseRefusal)
    actor.says(LeaseRequest(stage.node.id, number, actor.generation, actor.claim(term), release))
    answers: list[Answer] = [*stage.take(LeaseGrant, actor), *stage.take(LeaseRefusal, actor)]
    return answers[0] if answers else None


def _stage() -> tuple[Stage, Actor, Actor]:
    stage = Stage(rank=1)
    return stage, stage.member(2, rank=50), stage.member(3, rank=40)


def test_the_leader_gets_the_lease_and_its_streams_may_pass() -> None:
    stage, leader, _ = _stage()
    assert _ask(stage, leader, 1) == LeaseGrant(1, 1)
    holder = stage.node.holder(stage.now)
    assert holder is not None
    assert holder.author == leader.id
    assert [event.claim for event in stage.told(GateChanged)] == [holder]


def test_a_grant_is_on_the_disk_before_it_is_answered() -> None:
    stage, leader, _ = _stage()
    effects = leader.says(LeaseRequest(stage.node.id, 1, leader.generation, leader.claim(1), b""))
    kinds = [
        effect.key if isinstance(effect, Persist) else "send"
        for effect in effects
        if (isinstance(effect, Persist) and effect.key == "grant")
        or (isinstance(effect, Send) and effect.to == leader.id)
    ]
    assert kinds.index("grant") < kinds.index("send")


def test_a_lease_that_is_not_renewed_runs_out() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    stage.wait(9.9)
    assert stage.node.holder(stage.now) is not None
    stage.wait(0.2)
    assert stage.node.holder(stage.now) is None
    assert stage.told(GateChanged)[-1].claim is None


def test_a_renewal_keeps_the_gate_open_and_is_not_told() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    stage.told(GateChanged)
    for number in range(2, 12):
        stage.wait(2.0)
        assert _ask(stage, leader, 1, number) == LeaseGrant(number, 1)
    assert stage.told(GateChanged) == []


def test_while_one_holds_the_lease_a_higher_claim_has_to_wait() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1)
    stage.wait(3.0)
    refusal = _ask(stage, rival, 2)
    assert isinstance(refusal, LeaseRefusal)
    assert 6900 <= refusal.wait <= 7000
    assert signed_facts.decode(refusal.claim).fact.author == leader.id
    stage.wait(7.1)
    assert isinstance(_ask(stage, rival, 2, 2), LeaseGrant)


def test_news_that_the_holder_restarted_before_it_asked_leave_its_lease_as_it_is() -> None:
    stage, leader, rival = _stage()
    leader.generation = 2
    _ask(stage, leader, 1)
    leader.tells(leader.record())
    assert isinstance(_ask(stage, rival, 2), LeaseRefusal)


def test_a_lower_claim_than_one_granted_before_is_refused_with_that_one() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 5)
    stage.wait(30.0)
    refusal = _ask(stage, rival, 4)
    assert isinstance(refusal, LeaseRefusal)
    assert signed_facts.decode(refusal.claim).fact.term == 5


def test_the_same_author_goes_on_under_a_higher_claim() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    assert _ask(stage, leader, 2, 2) == LeaseGrant(2, 2)
    assert [event.claim and event.claim.term for event in stage.told(GateChanged)] == [1, 2]


def test_the_streams_of_an_author_that_started_again_are_cut_before_it_goes_on() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    leader.generation = 2
    leader.tells(leader.record())
    assert _ask(stage, leader, 2, 2) == LeaseGrant(2, 2)
    assert [event.claim and event.claim.term for event in stage.told(GateChanged)] == [1, None, 2]


def test_the_streams_of_a_claim_that_was_given_up_are_cut_before_the_next_claim() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    assert _ask(stage, leader, 2, 2, release=leader.resignation(1)) == LeaseGrant(2, 2)
    assert [event.claim and event.claim.term for event in stage.told(GateChanged)] == [1, None, 2]


def test_a_signed_resignation_frees_the_lease_at_once() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1)
    resignation = leader.resignation(1)
    assert _ask(stage, rival, 2, release=resignation) == LeaseGrant(1, 2)
    gates = [event.claim and event.claim.author for event in stage.told(GateChanged)]
    assert gates[-1] == rival.id


def test_a_resignation_shuts_the_gate() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    leader.tells(leader.resignation(1))
    assert stage.node.holder(stage.now) is None


def test_a_forged_resignation_frees_nothing() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1)
    forged = signed_facts.sign(signed_facts.decode(leader.resignation(1)).fact, rival.signer).data
    assert isinstance(_ask(stage, rival, 2, release=forged), LeaseRefusal)


def test_when_the_worker_itself_holds_the_holder_dead_another_gets_the_lease() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1)
    leader.answers = False
    stage.wait(6.0)
    assert stage.state_of(leader) == "dead"
    assert isinstance(_ask(stage, rival, 2), LeaseGrant)


def test_a_running_pipeline_is_not_cut_because_its_leader_is_held_dead() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    leader.answers = False
    stage.wait(6.0)
    assert stage.state_of(leader) == "dead"
    assert stage.node.holder(stage.now) is not None


def test_when_the_holders_process_was_reset_another_gets_the_lease() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1)
    leader.generation = 2
    leader.tells(leader.record())
    assert isinstance(_ask(stage, rival, 2), LeaseGrant)


def test_after_a_restart_nobody_else_gets_the_worker_for_one_lease() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1)
    again = stage.restarted(after=1.0)
    assert again.node.holder(again.now) is None
    rival = again.member(3, rank=40)
    again.member(2, rank=50)
    assert isinstance(_ask(again, rival, 2), LeaseRefusal)
    again.wait(10.1)
    assert isinstance(_ask(again, rival, 2, 2), LeaseGrant)


def test_after_a_restart_not_even_the_former_holder_gets_the_worker_for_one_lease() -> None:
    # The disk may have been rolled back to before a grant to another leader.
    stage, leader, _ = _stage()
    _ask(stage, leader, 1)
    again = stage.restarted(after=1.0)
    former = again.member(2, rank=50)
    refusal = _ask(again, former, 1)
    assert isinstance(refusal, LeaseRefusal)
    assert refusal.wait == 10_000
    again.wait(10.1)
    assert _ask(again, former, 1, 2) == LeaseGrant(2, 1)


def test_a_member_that_has_just_been_admitted_owes_nobody_anything() -> None:
    stage = Stage(rank=1)
    assert isinstance(_ask(stage, stage.member(2, rank=50), 1), LeaseGrant)


@pytest.mark.parametrize("grant", [[5, 1], [b"", 1], [[], 1], [b"no claim", 1], [b"claim"], ["claim", 1], []])
def test_a_stored_grant_that_cannot_be_read_is_dropped_but_bars_for_one_lease(
    grant: list[object],
) -> None:
    stage, leader, _ = _stage()
    again = Stage(rank=1, stored={**stage.disk, "grant": codec.pack(grant)})
    leader.meets(again)
    assert isinstance(_ask(again, leader, 1), LeaseRefusal)
    again.wait(again.settings.lease + 0.1)
    assert isinstance(_ask(again, leader, 1), LeaseGrant)


def test_never_a_lower_claim_also_across_a_restart() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 5)
    again = stage.restarted(after=60.0)
    rival = again.member(3, rank=40)
    assert isinstance(_ask(again, rival, 4), LeaseRefusal)


def test_after_a_restart_candidates_learn_of_the_claim_whose_grant_binds_no_more() -> None:
    stage = Stage(rank=0)
    leader = stage.member(2, rank=50)
    _ask(stage, leader, 5)
    again = stage.restarted(after=1.0)
    again.wait(again.settings.lease + 1.0)
    candidate = again.member(3, rank=40)
    candidate.says(VoteRequest(1))
    [vote] = again.take(Vote, candidate)
    assert vote.yes
    assert signed_facts.decode(vote.claim).fact == signed_facts.decode(leader.claim(5)).fact


def test_a_released_worker_is_free_and_an_old_request_does_not_bind_it_again() -> None:
    stage, leader, rival = _stage()
    _ask(stage, leader, 1, 7)
    leader.says(LeaseRelease(stage.node.id, 7, 1))
    assert stage.node.holder(stage.now) is None
    assert _ask(stage, leader, 1, 7) is None
    assert isinstance(_ask(stage, rival, 2), LeaseGrant)


def test_a_release_that_is_older_than_the_last_request_changes_nothing() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1, 8)
    leader.says(LeaseRelease(stage.node.id, 7, 1))
    assert stage.node.holder(stage.now) is not None


def test_a_claim_in_anothers_mouth_gets_no_answer() -> None:
    stage, leader, rival = _stage()
    rival.says(LeaseRequest(stage.node.id, 1, rival.generation, leader.claim(1), b""))
    assert not stage.take(LeaseGrant)
    assert not stage.take(LeaseRefusal)


@pytest.mark.parametrize("nonsense", [b"", b"nonsense"])
def test_a_request_without_a_claim_gets_no_answer(nonsense: bytes) -> None:
    stage, leader, _ = _stage()
    leader.says(LeaseRequest(stage.node.id, 1, leader.generation, nonsense, nonsense))
    assert not stage.take(LeaseGrant)
    assert not stage.take(LeaseRefusal)


def test_a_member_that_may_not_lead_gets_no_lease() -> None:
    stage = Stage(rank=1)
    volunteer = stage.member(2, rank=50, rights=Rights.WORK)
    assert not isinstance(_ask(stage, volunteer, 1), LeaseGrant)


def test_what_is_meant_for_another_worker_that_lived_here_changes_nothing() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 1, 3)
    leader.says(LeaseRelease(leader.id, 4, 1))
    assert stage.node.holder(stage.now) is not None
    leader.says(LeaseRequest(leader.id, 5, leader.generation, leader.claim(1), b""))
    assert stage.take(LeaseGrant, leader) == []


def test_a_leader_that_restarts_with_its_claim_is_answered_from_its_first_request() -> None:
    """The leader after a state rollback: it claims the same once more, and counts its requests from one."""
    stage, leader, _ = _stage()
    assert _ask(stage, leader, 1, number=9) == LeaseGrant(9, 1)
    leader.generation = 2
    leader.tells(leader.record())
    assert _ask(stage, leader, 1, number=1) == LeaseGrant(1, 1)
    leader.generation = 1
    assert _ask(stage, leader, 1, number=10) is None


def test_a_stored_grant_that_its_author_never_signed_is_as_good_as_forgotten() -> None:
    stage, leader, _ = _stage()
    _ask(stage, leader, 7)
    damaged = stage.disk["grant"].replace(leader.claim(7), leader.claim(90)[:-1] + b"?")
    assert damaged != stage.disk["grant"]
    stage.disk["grant"] = damaged
    again = stage.restarted()
    leader.meets(again)
    again.wait(10.1)
    assert _ask(again, leader, 9, 2) == LeaseGrant(2, 9)

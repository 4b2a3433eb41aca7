import pytest

from mesh.protocol.base.effects import Notice
from mesh.protocol.trust import roster
from mesh.wire.facts import Claim, Deployment, Voucher
from mesh.wire.identity import PoolId
from mesh.wire.profile import Model
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import sign
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Actor, Stage

MODEL = Model("model", 1, bytes(32))


def _deployment(stage: Stage, actor: Actor, number: int) -> bytes:
    return actor.sign(Deployment(stage.pool, actor.id, number, MODEL, 1, 1, True, ()))


def test_a_deployment_counts_only_when_an_owner_says_so() -> None:
    stage = Stage()
    volunteer = stage.member(2, rights=Rights.WORK)
    volunteer.tells(_deployment(stage, volunteer, 1))
    assert stage.node.deployment() is None
    owner = stage.member(3)
    owner.tells(_deployment(stage, owner, 1))
    deployment = stage.node.deployment()
    assert deployment is not None
    assert deployment.author == owner.id


def test_what_came_before_its_authors_voucher_counts_once_that_comes() -> None:
    stage = Stage()
    carrier, stranger = stage.member(2), Actor(stage, 3, 1)
    carrier.tells(_deployment(stage, stranger, 1))
    assert stage.node.deployment() is None
    stage.member(3, known=False)
    assert stage.node.deployment() is not None


def test_a_pool_takes_a_bounded_number_of_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MAX_VOUCHERS", 4)
    stage = Stage()
    owner = stage.member(2)
    for number in range(1, 9):
        key = KeyedHash(100 + number).public_key
        owner.tells(owner.sign(Voucher(stage.pool, owner.id, number, bytes(16), key, Rights.WORK)))
    assert len(stage.node.keys()) == 4


def test_a_forged_fact_is_not_believed() -> None:
    stage = Stage()
    liar, victim = stage.member(2), stage.member(3)
    forged = sign(Deployment(stage.pool, victim.id, 1, MODEL, 1, 1, True, ()), liar.signer)
    liar.tells(forged.data)
    assert stage.node.deployment() is None


def test_a_fact_of_another_pool_is_not_taken() -> None:
    stage = Stage()
    owner = stage.member(2)
    owner.tells(owner.sign(Deployment(PoolId(b"x" * 16), owner.id, 1, MODEL, 1, 1, True, ())))
    assert stage.node.deployment() is None


def test_a_claim_that_leaps_is_refused_and_one_that_steps_is_not() -> None:
    stage = Stage()
    stage.wait(1.0)
    other, _ = stage.member(2, rank=100), stage.member(3)
    stage.told(Notice)
    other.tells(other.claim(2**20 + 2))
    assert any("leaps" in notice.text for notice in stage.told(Notice))
    other.tells(other.claim(2**20))
    leader = stage.node.leader()
    assert leader == Claim(stage.pool, other.id, 2**20, 100)


def test_a_leap_is_believed_when_most_others_hand_it_on() -> None:
    stage = Stage()
    stage.wait(1.0)
    leader, first, second = stage.member(2, rank=100), stage.member(3), stage.member(4)
    claim = leader.claim(2**40)
    first.tells(claim)
    first.tells(claim)
    assert stage.node.leader() != Claim(stage.pool, leader.id, 2**40, 100)
    second.tells(claim)
    assert stage.node.leader() == Claim(stage.pool, leader.id, 2**40, 100)


def test_a_liar_that_has_a_member_to_itself_does_not_lead_it_ahead() -> None:
    stage = Stage()
    stage.wait(1.0)
    liar = stage.member(2, rank=100)
    liar.tells(liar.claim(2**40))
    assert stage.node.leader() != Claim(stage.pool, liar.id, 2**40, 100)


def test_a_claim_that_leaps_is_taken_in_the_end_so_that_all_hold_it() -> None:
    stage = Stage()
    stage.wait(1.0)
    ahead, _, _ = stage.member(2, rank=100), stage.member(3), stage.member(4)
    for _ in range(9):
        ahead.tells(ahead.claim(8 * 2**20))
        stage.wait(1.0)
    assert stage.node.leader() == Claim(stage.pool, ahead.id, 8 * 2**20, 100)


def test_terms_are_not_used_up_however_often_a_liar_claims() -> None:
    stage = Stage()
    stage.wait(1.0)
    liar, _, _ = stage.member(2, rank=100), stage.member(3), stage.member(4)
    for _ in range(200):
        liar.tells(liar.claim(8 * 2**20))
        stage.wait(0.01)
    assert stage.node.leader() != Claim(stage.pool, liar.id, 8 * 2**20, 100)


def test_a_member_that_may_not_lead_claims_in_vain() -> None:
    stage = Stage()
    volunteer = stage.member(2, rank=100, rights=Rights.WORK)
    volunteer.tells(volunteer.claim(5))
    leader = stage.node.leader()
    assert leader is None or leader.author == stage.node.id


def test_an_equivocation_of_an_owner_is_noticed() -> None:
    stage = Stage()
    owner = stage.member(2)
    owner.tells(owner.claim(5, rank=1))
    owner.tells(owner.claim(5, rank=2))
    assert any("two things" in notice.text for notice in stage.told(Notice))

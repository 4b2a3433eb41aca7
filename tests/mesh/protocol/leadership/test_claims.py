"""The claim in force is the highest of a present member with the right to lead that did not resign."""

from mesh.protocol.leadership.claims import Claims
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import sign
from tests.mesh.protocol.stage import Stage


def _claims(stage: Stage) -> Claims:
    return stage.node._parts.claims


def _leader(stage: Stage) -> tuple[NodeId, int] | None:
    claim = _claims(stage).leader()
    return None if claim is None else (claim.fact.author, claim.fact.term)


def _follower() -> Stage:
    """A Node that itself never claims to lead."""
    return Stage(rank=0)


def test_nobody_leads_where_nobody_claims() -> None:
    stage = _follower()
    stage.member(2)
    assert _leader(stage) is None


def test_the_later_term_is_in_force_and_of_one_term_the_higher_rank() -> None:
    stage = _follower()
    low, high = stage.member(2, rank=5), stage.member(3, rank=9)
    low.tells(low.claim(1))
    high.tells(high.claim(1))
    assert _leader(stage) == (high.id, 1)
    low.tells(low.claim(2))
    assert _leader(stage) == (low.id, 2)


def test_the_highest_claim_of_a_member_that_died_gives_way_to_the_next() -> None:
    stage = _follower()
    survivor, dying = stage.member(2), stage.member(3)
    survivor.tells(survivor.claim(1))
    dying.tells(dying.claim(2))
    assert _leader(stage) == (dying.id, 2)
    dying.answers = False
    stage.wait(10.0)
    assert stage.state_of(dying) == "dead"
    assert _leader(stage) == (survivor.id, 1)


def test_a_member_without_the_right_to_lead_does_not() -> None:
    stage = _follower()
    worker = stage.member(2, rights=Rights.WORK)
    worker.tells(worker.claim(1))
    assert _leader(stage) is None
    assert not _claims(stage).may_lead(worker.id)
    assert _claims(stage).may_lead(stage.member(3, rights=Rights.LEAD).id)


def test_a_resignation_ends_the_claims_up_to_its_term_and_no_later_one() -> None:
    stage = _follower()
    other = stage.member(2)
    other.tells(other.claim(2))
    claim = _claims(stage).leader()
    assert claim is not None
    assert _claims(stage).resignation(claim.fact) is None
    other.tells(other.resignation(2))
    assert _leader(stage) is None
    ended_by = _claims(stage).resignation(claim.fact)
    assert ended_by is not None
    assert ended_by.fact.term == 2
    other.tells(other.claim(3))
    assert _leader(stage) == (other.id, 3)


def test_an_own_claim_that_this_run_does_not_lead_by_is_not_in_force() -> None:
    stage = _follower()
    carrier = stage.member(2)
    carrier.tells(sign(Claim(stage.pool, stage.node.id, 4, 10), stage.signer).data)
    assert stage.node._parts.store.get(Claim, stage.node.id) is not None
    assert _leader(stage) is None


def test_a_leaders_predecessor_is_the_last_that_resigned_before_its_claim() -> None:
    stage = Stage(rank=50)
    first, second, later = stage.member(2), stage.member(3), stage.member(4)
    first.tells(first.claim(1), first.resignation(1))
    second.tells(second.claim(2), second.resignation(2))
    assert _claims(stage).predecessor() is None
    stage.wait(5.0)
    assert _leader(stage) == (stage.node.id, 3)
    later.tells(later.resignation(9))
    predecessor = _claims(stage).predecessor()
    assert predecessor is not None
    assert (predecessor.fact.author, predecessor.fact.term) == (second.id, 2)

import pytest

from mesh.protocol.base.effects import GateChanged, LeasesChanged
from mesh.wire import facts, signed_facts
from mesh.wire.facts import PoolState, Resignation
from mesh.wire.messages import LeaseGrant, LeaseRefusal, LeaseRelease, LeaseRequest
from tests.mesh.protocol.stage import Actor, Stage


def _leading() -> tuple[Stage, Actor]:
    stage = Stage(rank=50)
    worker = stage.member(2, rank=1)
    stage.wait(3.0)
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == stage.node.id
    return stage, worker


def _want(stage: Stage, *workers: Actor) -> list[LeaseRequest]:
    wanted = frozenset(worker.id for worker in workers)
    stage.perform(stage.node.want_leases(stage.now, wanted))
    return stage.take(LeaseRequest)


def test_a_granted_lease_is_held_and_told() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    assert stage.node.leases(stage.now) == frozenset()
    worker.says(LeaseGrant(request.number, 1))
    assert stage.node.leases(stage.now) == {worker.id}
    assert stage.told(LeasesChanged)[-1].held == {worker.id}


def test_a_lease_counts_from_before_it_was_asked_for_and_ends_early() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    asked = stage.now
    stage.wait(0.3)
    worker.says(LeaseGrant(request.number, 1))
    stage.wait(asked + 9.75 - stage.now)
    assert stage.node.leases(stage.now) == {worker.id}
    stage.wait(0.1)
    assert stage.node.leases(stage.now) == frozenset()
    assert stage.told(LeasesChanged)[-1].held == frozenset()


def test_a_held_lease_is_renewed_every_two_seconds() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    worker.says(LeaseGrant(request.number, 1))
    stage.wait(1.9)
    assert stage.take(LeaseRequest) == []
    stage.wait(0.2)
    [renewal] = stage.take(LeaseRequest, worker)
    assert renewal.number > request.number


def test_an_unanswered_request_is_repeated_and_each_answer_counts_from_its_own() -> None:
    stage, worker = _leading()
    asked_at = stage.now
    [request] = _want(stage, worker)
    stage.wait(0.6)
    [again] = stage.take(LeaseRequest, worker)
    worker.says(LeaseGrant(request.number, 1))
    assert stage.node.leases(stage.now) == {worker.id}
    assert stage.node.leases(asked_at + 9.7) == {worker.id}
    assert stage.node.leases(asked_at + 9.9) == frozenset()
    worker.says(LeaseGrant(again.number, 1))
    assert stage.node.leases(asked_at + 10.2) == {worker.id}
    worker.says(LeaseGrant(request.number, 1))
    assert stage.node.leases(asked_at + 10.2) == {worker.id}
    worker.says(LeaseGrant(again.number + 1, 1))
    assert stage.node.leases(asked_at + 10.4) == frozenset()


def test_a_lease_is_held_over_a_round_trip_of_seconds() -> None:
    stage, worker = _leading()
    under_way = [(stage.now, request.number) for request in _want(stage, worker)]
    held = []
    for _ in range(300):
        stage.wait(0.1)
        under_way += [(stage.now, request.number) for request in stage.take(LeaseRequest, worker)]
        while under_way and stage.now - under_way[0][0] >= 2.0:
            worker.says(LeaseGrant(under_way.pop(0)[1], 1))
        held.append(stage.node.leases(stage.now) == {worker.id})
    assert all(held[25:])


def test_a_leader_that_passes_a_newer_trace_of_itself_asks_for_its_leases_anew() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    worker.says(LeaseGrant(request.number, 1))
    former = stage.restarted().node
    trace = next(m.record for m in former.members() if m.id == former.id)
    assert trace is not None
    worker.tells(signed_facts.sign(trace, stage.signer).data)
    assert stage.node.leases(stage.now) == frozenset()
    assert stage.told(LeasesChanged)[-1].held == frozenset()
    stage.wait(0.0)
    [again] = stage.take(LeaseRequest, worker)
    assert (request.generation, again.generation) == (1, 3)
    worker.says(LeaseGrant(again.number, 1))
    assert stage.node.leases(stage.now) == {worker.id}


def _forgotten_resignation(stage: Stage, term: int) -> bytes:
    return signed_facts.sign(Resignation(stage.pool, stage.node.id, term, facts.NOBODY), stage.signer).data


def test_a_leader_that_learns_of_its_forgotten_resignation_asks_for_leases_anew() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    worker.says(LeaseGrant(request.number, 1))
    worker.tells(_forgotten_resignation(stage, 3))
    assert stage.node.leases(stage.now) == frozenset()
    assert stage.told(LeasesChanged)[-1].held == frozenset()
    stage.wait(0.0)
    [again] = stage.take(LeaseRequest, worker)
    worker.says(LeaseGrant(again.number, 4))
    assert stage.node.leases(stage.now) == {worker.id}
    worker.tells(_forgotten_resignation(stage, 3))
    assert stage.node.leases(stage.now) == {worker.id}


def test_that_holds_when_it_has_claimed_anew_meanwhile_for_another_reason() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    worker.says(LeaseGrant(request.number, 1))
    forgotten = PoolState(stage.pool, stage.node.id, 5, 1, 1, "ready", 1.0, "", 1.0, ())
    worker.tells(signed_facts.sign(forgotten, stage.signer).data)
    leader = stage.node.leader()
    assert leader is not None
    assert leader.term == 6
    assert stage.node.leases(stage.now) == {worker.id}
    worker.tells(_forgotten_resignation(stage, 3))
    assert stage.node.leases(stage.now) == frozenset()
    worker.says(LeaseGrant(request.number + 1, 1))
    assert stage.node.leases(stage.now) == frozenset()


def test_a_leader_gives_up_its_own_worker_that_a_forgotten_resignation_freed() -> None:
    stage, _ = _leading()
    stage.perform(stage.node.want_leases(stage.now, {stage.node.id}))
    rival = stage.member(3, rank=100)
    claim, forgotten = rival.claim(9), _forgotten_resignation(stage, 3)
    rival.says(LeaseRequest(stage.node.id, 1, 1, claim, forgotten))
    assert stage.take(LeaseGrant, rival) == [LeaseGrant(1, 9)]
    let_go, lent = [event for event in stage.events if isinstance(event, LeasesChanged | GateChanged)][-2:]
    assert let_go == LeasesChanged(frozenset())
    assert isinstance(lent, GateChanged)
    assert lent.claim == signed_facts.decode(claim).fact


def test_the_leaders_own_worker_goes_the_same_way_without_a_datagram() -> None:
    stage, _ = _leading()
    stage.perform(stage.node.want_leases(stage.now, {stage.node.id}))
    assert stage.take(LeaseRequest) == []
    assert stage.node.leases(stage.now) == {stage.node.id}
    assert stage.told(GateChanged)[-1].claim == stage.node.leader() == stage.node.holder(stage.now)
    stage.wait(30.0)
    assert stage.node.leases(stage.now) == {stage.node.id}


def test_a_member_that_does_not_lead_asks_for_no_lease() -> None:
    stage = Stage(rank=1)
    leader = stage.member(2, rank=50)
    leader.tells(leader.claim(1))
    assert _want(stage, leader) == []


def test_a_worker_that_is_wanted_no_more_is_released() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    worker.says(LeaseGrant(request.number, 1))
    _want(stage)
    assert stage.take(LeaseRelease, worker) == [LeaseRelease(worker.id, request.number, 1)]
    assert stage.node.leases(stage.now) == frozenset()
    stage.wait(3.0)
    assert stage.take(LeaseRequest) == []


def test_named_workers_are_released() -> None:
    stage, worker = _leading()
    stage.perform(stage.node.want_leases(stage.now, {stage.node.id, worker.id}))
    stage.perform(stage.node.release_leases(stage.now, {stage.node.id}))
    assert stage.node.holder(stage.now) is None
    assert stage.take(LeaseRelease, worker) == []


def test_stepping_down_ends_all_leases() -> None:
    stage, worker = _leading()
    [request] = _want(stage, worker)
    worker.says(LeaseGrant(request.number, 1))
    rival = stage.member(3, rank=50)
    rival.tells(rival.claim(2))
    assert stage.node.leases(stage.now) == frozenset()
    assert stage.told(LeasesChanged)[-1].held == frozenset()


def test_a_refusal_teaches_the_higher_claim() -> None:
    stage, worker = _leading()
    rival = stage.member(3, rank=50)
    [request] = _want(stage, worker)
    worker.says(LeaseRefusal(request.number, 1000, rival.claim(9)))
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (rival.id, 9)


@pytest.mark.parametrize(("claimed", "bid"), [(9, 10), (1, 2)])
def test_the_refusal_of_a_dead_members_higher_claim_is_outbid(claimed: int, bid: int) -> None:
    """A claim of a later term, or of this leader's own term and a better rank."""
    stage, worker = _leading()
    ghost = stage.member(3, rank=50)
    ghost.answers = False
    stage.wait(6.0)
    assert stage.state_of(ghost) == "dead"
    [request] = _want(stage, worker)
    worker.says(LeaseRefusal(request.number, 1000, ghost.claim(claimed)))
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (stage.node.id, bid)


def test_a_successor_shows_the_workers_its_predecessors_resignation() -> None:
    stage = Stage(rank=1)
    former, worker = stage.member(2, rank=50), stage.member(3, rank=1)
    former.tells(former.claim(3))
    resignation = former.resignation(3, successor=stage.node.id)
    former.tells(resignation)
    [request] = _want(stage, worker)
    assert request.release == resignation
    assert signed_facts.decode(request.claim).fact.term == 4

import pytest

from mesh.protocol.base.effects import Effect, LeaderChanged, Persist, Send
from mesh.wire import codec, facts, messages, signed_facts
from mesh.wire.envelope import open_envelope
from mesh.wire.errors import MeshError
from mesh.wire.facts import Claim, Resignation
from mesh.wire.facts import Stage as Layers
from mesh.wire.messages import Bodies, LeaseGrant, LeaseRequest, Vote, VoteRequest
from mesh.wire.rank import Rank
from mesh.wire.rights import Rights
from mesh.wire.states import Phase
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Actor, Stage


def _leads(stage: Stage) -> bool:
    leader = stage.node.leader()
    return leader is not None and leader.author == stage.node.id


def _campaign(stage: Stage) -> int:
    """Let time pass until the node asks for votes: the term that it campaigns for."""
    while not (requests := stage.take(VoteRequest)):
        stage.wait(0.05)
    return requests[0].term


def test_a_pool_of_one_elects_itself_within_a_second() -> None:
    stage = Stage()
    stage.wait(1.0)
    assert _leads(stage)
    assert stage.told(LeaderChanged)[-1].claim == Claim(stage.pool, stage.node.id, 1, 10)


def test_a_claim_is_on_the_disk_before_any_datagram_carries_it() -> None:
    stage = Stage()
    stage.member(2)
    order: list[str] = []
    perform = stage.perform

    def watched(effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Persist) and effect.key == "term":
                order.append(f"disk {effect.value!r}")
            elif isinstance(effect, Send) and _carries_own_claim(stage, effect):
                order.append("datagram")
        return perform(effects)

    stage.perform = watched  # type: ignore[method-assign]
    stage.wait(3.0)
    assert order[:2] == [f"disk {codec.pack([1])!r}", "datagram"]


def _carries_own_claim(stage: Stage, effect: Send) -> bool:
    message = messages.decode(open_envelope(effect.payload).body)
    carried = (
        [signed_facts.decode(data).fact for data in message.facts] if isinstance(message, Bodies) else []
    )
    return any(isinstance(fact, Claim) and fact.author == stage.node.id for fact in carried)


def test_the_best_rank_claims_and_the_others_wait_for_it() -> None:
    stage = Stage(rank=10)
    stage.member(2, rank=20)
    stage.wait(0.9)
    assert not _leads(stage)
    stage = Stage(rank=30)
    stage.member(2, rank=20)
    stage.wait(0.9)
    assert _leads(stage)


def test_the_next_in_rank_claims_when_the_best_does_not() -> None:
    stage = Stage(rank=10)
    stage.member(2, rank=20)
    stage.wait(3.0)
    assert _leads(stage)


def test_a_member_that_still_hears_a_leader_keeps_a_candidate_back() -> None:
    stage = Stage(rank=30)
    voters = [stage.member(number, rank=number) for number in (2, 3)]
    leader = stage.member(4, rank=50, known=False)
    term = _campaign(stage)
    for voter in voters:
        voter.says(Vote(term, False, leader.claim(1)))
    stage.wait(0.5)
    assert not _leads(stage)


def test_more_yes_than_no_is_enough() -> None:
    stage = Stage(rank=30)
    voters = [stage.member(number, rank=number) for number in (2, 3, 4)]
    term = _campaign(stage)
    voters[0].says(Vote(term, True, b""))
    voters[1].says(Vote(term, False, b""))
    assert not _leads(stage)
    voters[2].says(Vote(term, True, b""))
    assert _leads(stage)


def test_votes_of_another_term_do_not_count() -> None:
    stage = Stage(rank=30)
    voters = [stage.member(number, rank=number) for number in (2, 3, 4)]
    term = _campaign(stage)
    for voter in voters:
        voter.says(Vote(term + 1, True, b""))
    assert not _leads(stage)
    for voter in voters:
        voter.says(Vote(term, True, b""))
    assert _leads(stage)


def test_votes_of_members_that_were_not_asked_do_not_count() -> None:
    stage = Stage(rank=30)
    voters = [stage.member(number, rank=number) for number in (2, 3)]
    term = _campaign(stage)
    for number in (4, 5, 6):
        stage.member(number, rank=number).says(Vote(term, True, b""))
    assert not _leads(stage)
    for voter in voters:
        voter.says(Vote(term, True, b""))
    assert _leads(stage)


def test_asked_while_it_hears_a_leader_it_says_no_with_the_claim() -> None:
    stage = Stage()
    stage.wait(1.0)
    candidate = stage.member(2)
    candidate.says(VoteRequest(2))
    [vote] = stage.take(Vote, candidate)
    assert not vote.yes
    assert signed_facts.decode(vote.claim).fact == stage.node.leader()


def test_asked_while_there_is_no_leader_it_says_yes() -> None:
    stage = Stage()
    candidate = stage.member(2, rank=20)
    candidate.says(VoteRequest(1))
    [vote] = stage.take(Vote, candidate)
    assert vote.yes


def test_a_leader_yields_to_a_higher_claim_with_a_signed_resignation() -> None:
    stage = Stage(rank=10)
    stage.wait(1.0)
    rival = stage.member(2, rank=10)
    rival.tells(rival.claim(2))
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == rival.id
    stage.wait(0.2)
    told = [signed_facts.decode(data).fact for body in stage.take(Bodies, rival) for data in body.facts]
    assert Resignation(stage.pool, stage.node.id, 1, facts.NOBODY) in told


def test_a_much_better_leader_outbids_a_higher_claim() -> None:
    stage = Stage(rank=100)
    stage.wait(1.0)
    rival = stage.member(2, rank=50)
    rival.tells(rival.claim(7))
    leader = stage.node.leader()
    assert leader == Claim(stage.pool, stage.node.id, 8, 100)


def _serving() -> tuple[Stage, Actor]:
    """A leader with a model placed on a worker, whose lease it holds."""
    stage = Stage(rank=50)
    stage.wait(1.0)
    worker = stage.member(2, rank=1)
    stage.perform(stage.node.want_leases(stage.now, [worker.id]))
    _grant_lease(stage, worker)
    stages = (Layers(worker.id, 0, 9, True, 1, 1.0),)
    stage.perform(stage.node.report(stage.now, 1, Phase.READY, 1.0, "", 1.0, stages))
    return stage, worker


def _grant_lease(stage: Stage, worker: Actor) -> None:
    """The worker grants the last request."""
    request = stage.take(LeaseRequest, worker)[-1]
    leader = stage.node.leader()
    assert leader is not None
    worker.says(LeaseGrant(request.number, leader.term))


def test_a_leader_that_serves_reclaims_over_one_that_claimed_while_it_was_cut_off() -> None:
    stage, worker = _serving()
    stray = stage.member(3, rank=50)
    stray.tells(stray.claim(7))
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, 8, Rank(serves=1, memory=50).to_wire())
    assert stage.node.leases(stage.now) == {worker.id}


def test_of_two_leaders_that_serve_the_one_that_is_outbid_yields() -> None:
    stage, _ = _serving()
    other = stage.member(3, rank=90)
    other.tells(other.claim(7, rank=Rank(serves=1, memory=90).to_wire()))
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == other.id


def test_a_leader_yields_once_it_lacks_the_lease_of_a_worker_that_it_serves_from() -> None:
    stage, _ = _serving()
    stage.wait(10.0)
    assert stage.node.leases(stage.now) == frozenset()
    stray = stage.member(3, rank=50)
    stray.tells(stray.claim(7))
    assert not _leads(stage)


def test_a_leader_that_places_no_model_yields() -> None:
    stage, _ = _serving()
    stage.perform(stage.node.report(stage.now, 1, Phase.WAITING, 0.0, "", 0.0, ()))
    stray = stage.member(3, rank=50)
    stray.tells(stray.claim(7))
    assert not _leads(stage)


def test_a_leader_that_was_paused_yields_to_who_followed_it_though_it_had_all_leases() -> None:
    stage, _ = _serving()
    successor = stage.member(3, rank=50)
    stage.sleep(4.0)
    successor.tells(successor.claim(7))
    assert not _leads(stage)


def test_that_it_was_paused_need_not_be_noticed_before_the_claim_comes() -> None:
    stage, _ = _serving()
    successor = stage.member(3, rank=50)
    stage.now += 4.0  # no timer fires
    successor.tells(successor.claim(7))
    assert not _leads(stage)


def test_a_paused_leader_counts_as_serving_again_when_its_worker_said_so_since() -> None:
    stage, worker = _serving()
    stage.sleep(1.0)
    stage.wait(2.5)
    _grant_lease(stage, worker)
    stray = stage.member(3, rank=50)
    stray.tells(stray.claim(7))
    assert _leads(stage)


def test_a_better_rank_alone_does_not_take_over() -> None:
    stage = Stage(rank=10)
    leader = stage.member(2, rank=1)
    leader.tells(leader.claim(1))
    stage.republish(rank=1000)
    stage.wait(10.0)
    present = stage.node.leader()
    assert present is not None
    assert present.author == leader.id


def test_the_claim_of_a_dead_member_makes_no_leader_but_raises_the_next_term() -> None:
    stage = Stage(rank=10)
    leader, ghost, volunteer = stage.member(2, rank=50), stage.member(3, rank=99), stage.member(4)
    leader.tells(leader.claim(1))
    ghost.answers = False
    stage.wait(6.0)
    assert stage.state_of(ghost) == "dead"
    volunteer.tells(ghost.claim(40))
    assert stage.node.leader() == Claim(stage.pool, leader.id, 1, 50)
    leader.tells(leader.record(sequence=2, left=True))
    stage.wait(3.0)
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, 41, 10)


@pytest.mark.parametrize(("claimed", "bid"), [(40, 41), (1, 2)])
def test_a_leader_goes_beyond_a_higher_claim_that_nobody_leads_by(claimed: int, bid: int) -> None:
    """A claim of a later term, or of the leader's own term and a better rank."""
    stage = Stage(rank=10)
    stage.wait(1.0)
    gone, volunteer = stage.member(2, rank=99), stage.member(3)
    gone.tells(gone.record(sequence=2, left=True))
    volunteer.tells(gone.claim(claimed))
    stage.wait(0.9)
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, 1, 10)
    stage.wait(0.2)
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, bid, 10)
    stage.wait(30.0)
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, bid, 10)


def test_a_claim_that_is_heard_before_its_author_is_yielded_to_when_that_is_heard() -> None:
    stage = Stage(rank=10)
    stage.wait(1.0)
    rival, volunteer = stage.member(2, rank=10, known=False), stage.member(3)
    volunteer.tells(rival.claim(40))
    assert _leads(stage)
    stage.wait(0.9)
    rival.tells(rival.record())
    stage.wait(10.0)
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (rival.id, 40)


def test_when_the_leader_dies_the_best_of_the_rest_claims_the_next_term() -> None:
    stage = Stage(rank=10)
    leader = stage.member(2, rank=50)
    leader.tells(leader.claim(3))
    stage.wait(3.0)
    leader.answers = False
    stage.wait(4.0)
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, 4, 10)


def test_terms_go_on_after_a_restart_and_the_former_claim_is_given_up() -> None:
    stage = Stage()
    stage.wait(1.0)
    again = stage.restarted()
    assert again.node.leader() is None
    again.wait(1.0)
    assert again.node.leader() == Claim(stage.pool, stage.node.id, 2, 10)


def test_leadership_is_handed_to_a_named_member() -> None:
    stage = Stage(rank=10)
    stage.wait(1.0)
    heir = stage.member(2, rank=5)
    stage.take(Bodies)
    stage.perform(stage.node.hand_over(stage.now, heir.id))
    told = [signed_facts.decode(data).fact for body in stage.take(Bodies, heir) for data in body.facts]
    assert told == [Resignation(stage.pool, stage.node.id, 1, heir.id)]
    assert stage.node.leader() is None
    heir.tells(heir.claim(2))
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == heir.id


def test_the_heir_of_a_resignation_that_overtook_its_claim_claims_when_that_comes() -> None:
    stage = Stage(rank=30)
    leader = stage.member(2, rank=50)
    leader.tells(leader.claim(2))
    leader.tells(leader.resignation(3, successor=stage.node.id))
    assert not _leads(stage)
    leader.tells(leader.claim(3))
    assert _leads(stage)


def test_the_named_heir_claims_at_once() -> None:
    stage = Stage(rank=1)
    leader = stage.member(2, rank=50)
    leader.tells(leader.claim(3))
    assert not _leads(stage)
    leader.tells(leader.resignation(3, successor=stage.node.id))
    assert stage.node.leader() == Claim(stage.pool, stage.node.id, 4, 1)


def test_when_the_heir_does_not_claim_another_does() -> None:
    stage = Stage(rank=10)
    leader, heir = stage.member(2, rank=50), stage.member(3, rank=1)
    leader.tells(leader.claim(3))
    leader.tells(leader.resignation(3, successor=heir.id))
    stage.wait(0.5)
    assert stage.node.leader() is None
    stage.wait(3.0)
    assert stage.node.leader() is not None


def test_only_a_leader_hands_over_and_only_to_a_member_that_may_lead() -> None:
    stage = Stage()
    volunteer = stage.member(2, rights=Rights.WORK)
    with pytest.raises(MeshError, match="does not lead"):
        stage.node.hand_over(stage.now, volunteer.id)
    stage.wait(3.0)
    with pytest.raises(MeshError, match="cannot lead"):
        stage.node.hand_over(stage.now, volunteer.id)


def test_a_member_that_would_not_lead_is_not_handed_the_lead_nor_takes_it() -> None:
    stage = Stage(rank=10)
    stage.wait(3.0)
    unwilling = stage.member(2, rank=0)
    with pytest.raises(MeshError, match="cannot lead"):
        stage.node.hand_over(stage.now, unwilling.id)
    assert _leads(stage)
    named = Stage(rank=0)
    leader = named.member(2, rank=50)
    leader.tells(leader.claim(3))
    leader.tells(leader.resignation(3, successor=named.node.id))
    assert named.node.leader() is None


def test_a_claim_of_a_former_run_that_the_disk_forgot_is_given_up() -> None:
    stage = Stage()
    volunteer = stage.member(2, rank=1)
    forgotten = signed_facts.sign(Claim(stage.pool, stage.node.id, 7, 10), stage.signer).data
    volunteer.tells(forgotten)
    assert stage.node.leader() is None
    stage.wait(4.0)
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (stage.node.id, 8)


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5, 99])
def test_a_leader_that_claims_a_term_again_which_its_disk_forgot_goes_beyond_it(rank: int) -> None:
    """Of two claims of one term and author one prevails everywhere, perhaps the former."""
    stage = Stage()
    stage.wait(4.0)
    volunteer = stage.member(2, rank=1)
    former = Claim(stage.pool, stage.node.id, 1, rank)
    volunteer.tells(signed_facts.sign(former, stage.signer).data)
    stage.wait(2.0)
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.rank) == (stage.node.id, 10)
    assert leader.term == 2 or any(signed.fact == leader for signed in stage.node.inspect().facts())


def test_a_resignation_of_a_member_that_may_not_lead_names_no_successor() -> None:
    stage = Stage(rank=10)
    meddler, better = stage.member(2, rights=Rights.WORK), stage.member(3, rank=50)
    better.tells(better.record(sequence=2))
    for term in range(4):
        meddler.tells(meddler.resignation(term, successor=stage.node.id))
    assert stage.node.leader() is None
    assert not [s for s in stage.node.inspect().facts() if isinstance(s.fact, Resignation)]


def test_a_named_successor_that_may_not_lead_does_not() -> None:
    founder = Stage(rank=50)
    named = KeyedHash(77)
    founder.perform(founder.node.vouch(founder.now, named.public_key, Rights.WORK))
    stage = Stage(rank=20, signer=named, chain=founder.node.chain(named.id))
    leader = Actor(stage, 1, 50)  # the test plays the founder
    stage.actors[leader.address] = leader
    leader.tells(leader.record())
    leader.tells(leader.claim(3))
    leader.tells(leader.resignation(3, successor=named.id))
    assert not [s for s in stage.node.inspect().facts(Claim) if s.fact.author == named.id]


def test_a_member_that_never_claimed_names_no_successor() -> None:
    stage = Stage(rank=10)
    meddler = stage.member(2, rank=50)
    meddler.tells(meddler.resignation(0, successor=stage.node.id))
    assert stage.node.leader() is None


def test_a_leader_goes_beyond_a_resignation_that_its_disk_forgot() -> None:
    stage = Stage()
    stage.wait(4.0)
    volunteer = stage.member(2, rank=1)
    forgotten = Resignation(stage.pool, stage.node.id, 7, facts.NOBODY)
    volunteer.tells(signed_facts.sign(forgotten, stage.signer).data)
    leader = stage.node.leader()
    assert leader is not None
    assert (leader.author, leader.term) == (stage.node.id, 8)


def test_a_leader_whose_claim_is_no_longer_among_the_highest_reclaims() -> None:
    stage = Stage(rank=100)
    stage.wait(5.0)
    volunteer = stage.member(2)
    gone = [stage.member(number, rank=1) for number in range(10, 19)]
    for actor in gone:
        actor.tells(actor.record(sequence=2, left=True))
    for term, actor in enumerate(gone, start=20):
        volunteer.tells(actor.claim(term))
    leader = stage.node.leader()
    assert leader is not None
    assert leader.author == stage.node.id
    assert leader.term > 1

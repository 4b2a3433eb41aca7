from mesh.wire import messages
from mesh.wire.envelope import seal
from mesh.wire.facts import Claim
from simulations.hosts import Host
from tests.simulations.checkers.pools import Watched


def _ask(pool: Watched, candidate: Host, term: int) -> None:
    for other in pool.hosts:
        if other is not candidate:
            _carried(pool, candidate, other, messages.VoteRequest(term))


def _carried(pool: Watched, source: Host, target: Host, message: messages.Message) -> None:
    assert source.node is not None
    assert source.node.pool is not None
    payload = seal(source.node.pool, source.id, 1, messages.encode(message), source.signer, target.id)
    for tap in pool.world.taps:
        tap(source, target, payload)
    for arrival in pool.world.arrivals:
        arrival(target, payload)


def _claim(pool: Watched, candidate: Host, term: int) -> Claim:
    claim = pool.claim(candidate, term)
    pool.follow(candidate, claim)
    return claim


def test_a_claim_against_most_votes_is_caught() -> None:
    pool = Watched()
    candidate = pool.hosts[3]
    _ask(pool, candidate, 40)
    for voter in pool.hosts[:3]:
        _carried(pool, voter, candidate, messages.Vote(40, False, b""))
    _claim(pool, candidate, 40)
    assert "votes: host3 claims term 40 after 3 noes and 0 ayes" in pool.said


def test_votes_of_another_term_or_an_earlier_attempt_do_not_count() -> None:
    pool = Watched()
    candidate = pool.hosts[3]
    _ask(pool, candidate, 40)
    for voter in pool.hosts[:3]:
        _carried(pool, voter, candidate, messages.Vote(40, False, b""))
        _carried(pool, voter, candidate, messages.Vote(39, False, b""))
    pool.world.run(0.3)
    _ask(pool, candidate, 40)
    _claim(pool, candidate, 40)
    assert "votes" not in pool.said

import pytest

from mesh.protocol.node.inspect import Inspection
from mesh.wire import messages
from mesh.wire.envelope import seal
from mesh.wire.facts import Claim
from simulations.hosts import Host
from tests.simulations.checkers.watched import Watched


def _ask(pool: Watched, candidate: Host, term: int) -> None:
    assert candidate.node is not None
    others = [host for host in pool.hosts if host is not candidate]
    candidate.node._parts.election._asked = {host.id for host in others}
    for other in others:
        _carried(pool, candidate, other, messages.VoteRequest(term))


def _carried(pool: Watched, source: Host, target: Host, message: messages.Message) -> None:
    assert source.node is not None
    assert source.node.pool is not None
    payload = seal(
        source.node.pool,
        source.id,
        source.node.take_number(),
        messages.encode(message),
        source.signer,
        target.id,
    )
    for tap in pool.world.taps:
        tap(source, target, payload)
    for arrival in pool.world.arrivals:
        arrival(target, payload)


def _claim(pool: Watched, candidate: Host, term: int) -> Claim:
    claim = pool.claim(candidate, term)
    pool.follow(candidate, claim)
    return claim


def _polled(pool: Watched, noes: int, ayes: int) -> str:
    """What is said of a claim of the last host after so many votes."""
    candidate, voters = pool.hosts[-1], iter(pool.hosts[:-1])
    _ask(pool, candidate, 40)
    for yes in [False] * noes + [True] * ayes:
        _carried(pool, next(voters), candidate, messages.Vote(40, yes, b""))
    _claim(pool, candidate, 40)
    return "\n".join(line for line in pool.said.splitlines() if " votes: " in line)


def test_a_claim_against_most_votes_is_caught() -> None:
    pool = Watched()
    candidate = pool.hosts[3]
    _ask(pool, candidate, 40)
    for voter in pool.hosts[:3]:
        _carried(pool, voter, candidate, messages.Vote(40, False, b""))
    _claim(pool, candidate, 40)
    assert "votes: host3 claims term 40 after 3 noes and 0 ayes, its own vote being aye" in pool.said


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


def test_a_claim_after_a_tie_is_caught() -> None:
    assert "after 2 noes and 1 ayes, its own vote being aye" in _polled(Watched(), 2, 1)


def test_a_claim_that_its_own_vote_decides_is_none_against_the_votes() -> None:
    assert _polled(Watched(), 1, 1) == ""


def test_a_candidate_whose_lease_another_holds_counts_itself_as_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inspection, "is_leased_to_another", lambda _: True)
    assert "after 1 noes and 2 ayes, its own vote being no" in _polled(Watched(), 1, 2)
    assert _polled(Watched(), 0, 2) == ""


def test_who_was_not_asked_has_no_vote() -> None:
    pool = Watched()
    candidate, outsider = pool.hosts[3], pool.world.add(rank=1)
    pool.world.join(outsider, pool.hosts[0])
    _ask(pool, candidate, 40)
    _carried(pool, outsider, candidate, messages.Vote(40, False, b""))
    _carried(pool, pool.hosts[1], candidate, messages.Vote(40, True, b""))
    _claim(pool, candidate, 40)
    assert "votes" not in pool.said


def test_who_stood_once_more_with_nobody_to_ask_needs_no_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    candidate = pool.hosts[3]
    _ask(pool, candidate, 40)
    _carried(pool, pool.hosts[1], candidate, messages.Vote(40, False, b""))
    monkeypatch.setattr(Inspection, "voters", lambda _: frozenset())
    _claim(pool, candidate, 40)
    assert "votes" not in pool.said

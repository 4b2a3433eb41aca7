import pytest

from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.inspect import Inspection
from mesh.wire.identity import NodeId
from mesh.wire.versions import Versions
from simulations.hosts import Host
from simulations.programs import Program
from tests.simulations.checkers.watched import Watched


def _dies(
    pool: Watched,
    monkeypatch: pytest.MonkeyPatch,
    signed: set[NodeId],
    missed: bool = False,
) -> str:
    """What is said when the first host holds the last one for dead, by the word of those."""
    one, victim = pool.hosts[0], pool.hosts[-1]
    assert one.node is not None
    pool.look_at_members(one)
    monkeypatch.setattr(Inspection, "signed_suspectors", lambda _, id: signed)
    peer = one.node._parts.membership.peers[victim.id]
    peer.missed = missed
    one.node._parts.membership._set_state(peer, MemberState.DEAD)
    pool.look_at_members(one)
    return pool.said


def test_a_death_on_a_single_word_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    said = _dies(pool, monkeypatch, {pool.hosts[1].id})
    assert said.endswith("words: host0 holds host3 dead on a single suspicion")


def test_the_words_of_two_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    assert _dies(pool, monkeypatch, {pool.hosts[1].id, pool.hosts[2].id}) == ""


def test_who_got_no_answer_itself_needs_nobodys_word(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    assert _dies(pool, monkeypatch, {pool.hosts[1].id}, missed=True) == ""


def test_in_a_small_pool_a_single_word_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched(3)
    assert _dies(pool, monkeypatch, {pool.hosts[1].id}) == ""


def test_one_that_speaks_no_version_in_common_counts_as_dead_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Watched()
    pool.hosts[0].program = Program(Versions(8, 9))
    assert _dies(pool, monkeypatch, {pool.hosts[1].id}) == ""


def test_the_word_of_one_who_was_evicted_since_may_have_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched(5)
    suspector: Host = pool.hosts[2]
    monkeypatch.setattr(Inspection, "suspectors", lambda _, id: {pool.hosts[1].id, suspector.id})
    pool.world.evictions[pool.hosts[0].id] = {suspector.id: pool.world.now}
    assert _dies(pool, monkeypatch, {pool.hosts[1].id}) == ""

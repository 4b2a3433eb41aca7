from typing import Any

import pytest

from mesh.protocol.node.inspect import Inspection
from mesh.wire.facts import Claim, Deployment, Liveness, PoolState, Record, Suspicion
from mesh.wire.identity import PoolId
from mesh.wire.profile import Model
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed, sign
from simulations.hosts import Host
from simulations.signing import KeyedHash
from tests.simulations.checkers.watched import Watched


def _pool() -> tuple[Watched, Host, Host, PoolId]:
    pool = Watched()
    volunteer = pool.world.add(rank=1)
    pool.world.join(volunteer, pool.hosts[0], Rights.WORK)
    pool.world.run(1.0)
    node = pool.hosts[0].node
    assert node is not None
    assert node.pool is not None
    return pool, pool.hosts[0], volunteer, node.pool


def _stored(pool: Watched, monkeypatch: pytest.MonkeyPatch, at: Host, signed: Signed[Any]) -> str:
    """What is said when the host's Node holds that fact, however it came there."""
    facts = Inspection.facts
    monkeypatch.setattr(
        Inspection, "facts", lambda seen: [*facts(seen), *([signed] if seen.id == at.id else [])]
    )
    monkeypatch.setattr(Inspection, "summary", lambda _: b"changed")
    pool.checkers.facts.scan()
    return pool.said


def test_a_fact_of_another_pool_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, _, _ = _pool()
    foreign = sign(Claim(PoolId(bytes(16)), one.id, 1, 1), one.signer)
    assert "facts: host0 stores a Claim of another pool" in _stored(pool, monkeypatch, one, foreign)


def test_a_forged_fact_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, id = _pool()
    forged = sign(Claim(id, one.id, 1, 1), volunteer.signer)
    assert "stores a Claim that is forged" in _stored(pool, monkeypatch, one, forged)


def test_a_strangers_fact_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, _, id = _pool()
    stranger = KeyedHash(999)
    said = _stored(pool, monkeypatch, one, sign(Liveness(id, stranger.id, 1, 1), stranger))
    assert "stores a Liveness of an author that never existed" in said


def test_a_volunteers_deployment_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, id = _pool()
    model = Model("m", 1, bytes(32))
    presumed = sign(Deployment(id, volunteer.id, 1, model, 1, 1, True, ()), volunteer.signer)
    said = _stored(pool, monkeypatch, one, presumed)
    assert "stores a Deployment that its author had no right to say" in said


def test_a_record_that_goes_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, id = _pool()
    pool.checkers.facts.scan()
    old = sign(Record(id, volunteer.id, 0, bytes(8), 1, False, volunteer.profile), volunteer.signer)
    said = _stored(pool, monkeypatch, one, old)
    assert "host0 took an older Record after a newer one" in said


def test_a_liveness_that_its_subject_never_had_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, _ = _pool()
    known = Inspection.liveness
    monkeypatch.setattr(
        Inspection,
        "liveness",
        lambda seen: {**known(seen), **({volunteer.id: (9, 9)} if seen.id == one.id else {})},
    )
    pool.checkers.facts.scan()
    assert "host0 believes host4 at a liveness it never had: (9, 9)" in pool.said


def test_a_member_that_old_news_bring_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, _ = _pool()
    seen = {volunteer.id: ((1, 3), "dead")}
    monkeypatch.setattr(Inspection, "states", lambda node: seen if node.id == one.id else {})
    pool.checkers.facts.scan()
    seen[volunteer.id] = ((1, 3), "alive")
    pool.checkers.facts.scan()
    assert pool.said.endswith("facts: old news brought host4 back to life at host0")


def _acquitted(
    pool: Watched, monkeypatch: pytest.MonkeyPatch, at: Host, subject: Host, suspector: Host, out: Host
) -> str:
    """What is said when one that the suspector's word held for dead lives again as another is put out."""
    seen = {subject.id: ((1, 3), "dead")}
    monkeypatch.setattr(Inspection, "states", lambda node: seen if node.id == at.id else {})
    monkeypatch.setattr(Inspection, "suspectors", lambda node, id: {suspector.id})
    pool.checkers.facts.scan()
    pool.world.evict(pool.hosts[0], out.id)
    seen[subject.id] = ((1, 3), "alive")
    pool.checkers.facts.scan()
    return pool.said


def test_who_was_held_for_dead_by_the_word_of_one_who_was_evicted_may_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, one, volunteer, _ = _pool()
    assert _acquitted(pool, monkeypatch, one, volunteer, pool.hosts[2], pool.hosts[2]) == ""


def test_the_eviction_of_another_brings_nobody_back_to_life(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, _ = _pool()
    said = _acquitted(pool, monkeypatch, one, volunteer, pool.hosts[2], pool.hosts[3])
    assert said.endswith("facts: old news brought host4 back to life at host0")


def test_a_liveness_that_goes_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, _ = _pool()
    seen = {volunteer.id: ((2, 0), "alive")}
    monkeypatch.setattr(Inspection, "states", lambda node: seen if node.id == one.id else {})
    pool.checkers.facts.scan()
    seen[volunteer.id] = ((1, 9), "alive")
    pool.checkers.facts.scan()
    assert pool.said.endswith("facts: host0 believes host4 at an older liveness than before")


def _states(pool: Watched, monkeypatch: pytest.MonkeyPatch, at: Host, *sequences: int) -> str:
    """What is said when the host's Node holds these states of one leader in turn; 0: none."""
    node = at.node
    assert node is not None
    assert node.pool is not None
    facts = Inspection.facts
    for sequence in sequences:
        state = PoolState(node.pool, at.id, 1, sequence, 1, "ready", 1.0, "", 1.0, ())
        held = [sign(state, at.signer)] if sequence else []
        others = [signed for signed in facts(node.inspect()) if not isinstance(signed.fact, PoolState)]
        monkeypatch.setattr(Inspection, "facts", lambda _, every=(*others, *held): iter(every))
        monkeypatch.setattr(Inspection, "summary", lambda _, sequence=sequence: bytes([sequence]))
        pool.checkers.facts.scan()
    return pool.said


def test_a_state_that_goes_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, _, _ = _pool()
    assert "host0 took an older PoolState after a newer one" in _states(pool, monkeypatch, one, 3, 2)


def test_a_state_that_comes_back_older_is_caught_while_nobody_was_evicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, one, _, _ = _pool()
    assert "host0 took an older PoolState after a newer one" in _states(pool, monkeypatch, one, 3, 0, 2)


def test_a_state_may_come_back_older_where_the_evicted_left_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, _ = _pool()
    pool.world.evict(one, volunteer.id)
    pool.world.run(1.0)
    assert _states(pool, monkeypatch, one, 3, 0, 2) == ""
    monkeypatch.setattr(Inspection, "summary", lambda _: b"something else changed")
    pool.checkers.facts.scan()
    assert pool.said == ""
    assert "host0 took an older PoolState after a newer one" in _states(pool, monkeypatch, one, 3, 2)


def test_a_state_may_come_back_older_between_two_looks_as_one_is_evicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, one, volunteer, _ = _pool()
    assert _states(pool, monkeypatch, one, 3) == ""
    monkeypatch.undo()
    pool.world.evict(one, volunteer.id)
    assert _states(pool, monkeypatch, one, 2) == ""
    assert "host0 took an older PoolState after a newer one" in _states(pool, monkeypatch, one, 1)


def test_a_state_that_goes_back_as_one_is_let_in_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, _ = _pool()
    pool.world.evict(one, volunteer.id)
    pool.world.run(1.0)
    assert _states(pool, monkeypatch, one, 3) == ""
    monkeypatch.undo()
    pool.world.join(pool.world.add(rank=1), one, Rights.WORK)
    pool.world.run(0.5)  # less than until the next look
    assert "host0 took an older PoolState after a newer one" in _states(pool, monkeypatch, one, 2)


def test_a_suspicion_may_go_back_once_its_subject_was_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, id = _pool()
    newer, older = (sign(Suspicion(id, one.id, volunteer.id, n, 0), one.signer) for n in (2, 1))
    _stored(pool, monkeypatch, one, newer)
    pool.world.evict(pool.hosts[0], volunteer.id)
    monkeypatch.undo()
    pool.checkers.facts.scan()  # a store whose summary is as before would not be looked at again
    assert _stored(pool, monkeypatch, one, older) == ""


def test_true_facts_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, volunteer, id = _pool()
    suspicion = sign(Suspicion(id, volunteer.id, one.id, 1, 0), volunteer.signer)
    assert _stored(pool, monkeypatch, pool.hosts[1], suspicion) == ""

import pytest

from mesh.protocol.base.effects import Expelled
from mesh.protocol.node.inspect import Inspection
from tests.simulations.checkers.watched import Watched


def test_an_eviction_that_is_obeyed_is_no_violation() -> None:
    pool = Watched()
    pool.world.evict(pool.hosts[0], pool.hosts[3].id)
    pool.world.run(10.0)
    assert pool.said == ""


def test_one_who_goes_on_sending_is_caught() -> None:
    pool = Watched()
    pool.tell(pool.hosts[2], Expelled(None, ""))
    pool.world.run(1.0)
    assert pool.said.endswith("expulsions: host2 goes on sending though it knows that it was evicted")


def test_one_who_keeps_facts_of_the_evicted_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    monkeypatch.setattr(Inspection, "evicted", lambda _: frozenset({pool.hosts[3].id}))
    pool.checkers.expulsions.scan()
    assert "expulsions: host0 keeps a Record of a member that it knows was evicted" in pool.said


def test_bytes_of_an_evicted_leader_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    monkeypatch.setattr(Inspection, "evicted", lambda _: frozenset({pool.hosts[0].id}))
    pool.checkers.expulsions.passed(pool.hosts[1], (pool.hosts[0].id, 1))
    assert "expulsions: bytes of an evicted leader passed the gate of host1" in pool.said

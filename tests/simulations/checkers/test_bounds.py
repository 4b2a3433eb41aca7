from collections import deque
from operator import attrgetter
from typing import Any

import pytest

from mesh.protocol.node.inspect import Inspection
from mesh.protocol.node.node import Node
from mesh.wire.envelope import first_number
from mesh.wire.facts import Claim
from simulations.checkers.bounds import LIMITS, last_names
from simulations.liars import Lies
from tests.simulations.checkers.watched import Watched


def test_a_datagram_that_is_too_large_is_caught() -> None:
    pool = Watched()
    pool.world.largest = 1201
    pool.checkers.bounds.scan()
    assert "bounds: a datagram of 1201 bytes was sent" in pool.said


def test_a_container_that_outgrows_every_bound_is_caught() -> None:
    pool = Watched()
    node = pool.hosts[1].node
    assert node is not None
    node._context._pending.update({("x", bytes([n % 256, n // 256])): (0, 0.0) for n in range(20_000)})
    pool.checkers.bounds.scan()
    assert "context.pending of host1 holds 20" in pool.said


@pytest.mark.parametrize(
    ("path", "entries", "limit"),
    [
        ("validator._pending_facts._by_author", 513, 512),
        ("gossip._wanted", 8193, 8192),
        ("gossip._under_way", 129, 128),
        ("bootstrap._hello_targets", 513, 512),
        ("bootstrap._silent", 513, 512),
        ("bootstrap._replies", 17, 16),
        ("prober._relayed", 257, 256),
        ("store.proofs", 65, 64),
    ],
)
def test_a_container_that_outgrows_its_own_bound_is_caught(path: str, entries: int, limit: int) -> None:
    pool = Watched()
    assert pool.hosts[1].node is not None
    container = attrgetter(path)(pool.hosts[1].node._parts)
    container.clear()
    container.update(dict.fromkeys(range(entries - 1), ()))
    pool.checkers.bounds.scan()
    assert pool.said == ""
    container[entries] = ()
    pool.checkers.bounds.scan()
    assert f"of host1 holds {entries}, more than {limit}" in pool.said


def test_a_queue_that_outgrows_its_bound_is_caught() -> None:
    pool = Watched()
    assert pool.hosts[1].node is not None
    pool.hosts[1].node._parts.prober._trips = deque([0.1] * 10)
    pool.checkers.bounds.scan()
    assert "prober.trips of host1 holds 10, more than 9" in pool.said


def test_suspicions_of_one_member_beyond_those_that_count_are_caught() -> None:
    pool = Watched()
    assert pool.hosts[1].node is not None
    suspected: dict[Any, Any] = pool.hosts[1].node._parts.store._suspected
    suspected[pool.hosts[2].id] = dict.fromkeys(range(pool.world.settings.suspectors))
    pool.checkers.bounds.scan()
    assert pool.said == ""
    suspected[pool.hosts[2].id][b"one more"] = None
    pool.checkers.bounds.scan()
    assert "store.suspected[] of host1 holds 4, more than 3" in pool.said


def test_more_claims_than_a_store_keeps_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    monkeypatch.setattr(Inspection, "facts", lambda _, kind: iter([None] * 9 if kind is Claim else []))
    pool.checkers.bounds.scan()
    assert "bounds: host0 holds 9 facts of the kind Claim" in pool.said


def test_a_crowd_of_facts_that_wait_is_caught_however_few_their_authors_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Watched()
    monkeypatch.setattr(Inspection, "pending_facts", lambda _: 513)
    pool.checkers.bounds.scan()
    assert "bounds: with host0 513 facts wait for a voucher" in pool.said


def test_a_member_at_the_end_of_too_long_a_chain_of_vouchers_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Watched()
    monkeypatch.setattr(Node, "chain", lambda node, id: [b""] * 9)
    pool.checkers.bounds.scan()
    assert pool.said == ""
    monkeypatch.setattr(Node, "chain", lambda node, id: [b""] * 10)
    pool.checkers.bounds.scan()
    assert "takes host3 in by a chain of 9 vouchers" in pool.said


def test_every_container_with_a_bound_of_its_own_is_found_in_a_pool_that_was_flooded() -> None:
    pool = Watched()
    lies = Lies(pool.world, 1)
    pool.world.network.delay = 0.05
    pool.world.run(5.0)
    other = pool.hosts[2].node
    assert other is not None
    other._context.sent += first_number(1)  # as if of a run that nobody knows of
    found: set[str] = set()
    for _ in range(5):
        lies.tell(lies.kinds.index(lies._flood), pool.hosts[3])
        pool.world.run(0.05)
        for host in pool.world.running():
            assert host.node is not None
            found |= {last_names(path) for path, _ in host.node.inspect().containers()}
    assert found >= LIMITS.keys()


def test_a_calm_pool_must_hold_little() -> None:
    pool = Watched()
    node = pool.hosts[1].node
    assert node is not None
    node._context._pending.update({("x", bytes([n % 256, n // 256])): (0, 0.0) for n in range(2000)})
    pool.checkers.bounds.scan()
    assert pool.said == ""
    pool.checkers.bounds.calm()
    assert "in a calm pool" in pool.said

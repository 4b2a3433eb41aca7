import dataclasses
from typing import Any

import pytest

from mesh.protocol.base.context import Context
from mesh.wire import codec, messages
from mesh.wire.envelope import seal
from mesh.wire.facts import Liveness, Suspicion
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.signed_facts import sign
from simulations.hosts import Host
from simulations.signing import KeyedHash
from tests.simulations.checkers.watched import Watched


def _pool() -> tuple[Watched, Host, Host, PoolId]:
    pool = Watched()
    node = pool.hosts[0].node
    assert node is not None
    assert node.pool is not None
    return pool, pool.hosts[0], pool.hosts[1], node.pool


def _said(pool: Watched, source: Host, *facts: bytes) -> str:
    """What is said when a host sends the last one these bytes."""
    assert source.node is not None
    assert source.node.pool is not None
    target, body = pool.hosts[3], messages.encode(messages.Bodies(facts))
    number = source.node.take_number()
    datagram = seal(source.node.pool, source.id, number, body, source.signer, target.id)
    for tap in pool.world.taps:
        tap(source, target, datagram)
    return pool.said


def _alive(id: PoolId, author: Any, later: bytes = b"", by: Any = None) -> bytes:
    return sign(Liveness(id, author.id, 7, 7, unknown=later), by or author).data


def test_two_forms_of_one_version_are_caught() -> None:
    pool, one, other, id = _pool()
    said = _alive(id, other.signer)
    assert _said(pool, one, said, said) == ""
    later = _alive(id, other.signer, codec.pack([1]))
    assert _said(pool, other, later).endswith("passed on: host1 signed one version of a Liveness twice")


def test_changed_bytes_are_caught_with_who_passed_them_on() -> None:
    pool, one, other, id = _pool()
    whole = _alive(id, other.signer, codec.pack([1]))
    signature = whole[-64:]
    cut = sign(Liveness(id, other.id, 7, 7), other.signer).data[:-64] + signature
    assert _said(pool, one, cut).endswith("passed on: host0 passes on a Liveness that host1 did not sign so")


def test_what_is_changed_on_the_way_of_a_real_pool_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, one, _, _ = _pool()
    send = Context.send_bodies
    monkeypatch.setattr(
        Context,
        "send_bodies",
        lambda context, to, endpoint, facts: send(context, to, endpoint, [d[:-1] + b"x" for d in facts]),
    )
    pool.world.do(one, "vouch", KeyedHash(77).public_key, pool.world.granted[one.id])
    pool.world.run(2.0)
    assert "that host0 did not sign so" in pool.said


def test_a_member_may_suspect_the_same_twice_and_forget_what_it_said() -> None:
    pool, one, other, id = _pool()
    subject = NodeId(pool.hosts[2].id)
    suspicion = Suspicion(id, other.id, subject, 1, 0)
    both = [
        sign(fact, other.signer).data for fact in (suspicion, dataclasses.replace(suspicion, refused=True))
    ]
    assert _said(pool, one, *both) == ""
    pool.checkers.setbacks.forgot(other.id, 0, 1)
    assert _said(pool, one, _alive(id, other.signer), _alive(id, other.signer, codec.pack([1]))) == ""


def test_liars_may_say_and_send_what_they_like_and_strangers_are_nobody() -> None:
    pool, one, other, id = _pool()
    stranger = KeyedHash(999)
    assert _said(pool, one, _alive(id, stranger)) == ""
    pool.checkers.excuses.liars.add(other.id)
    forged = _alive(id, pool.hosts[2].signer, by=other.signer)
    assert _said(pool, other, forged) == ""
    assert _said(pool, one, _alive(id, other.signer), _alive(id, other.signer, codec.pack([1]))) == ""
    assert "host0 passes on a Liveness that host2 did not sign so" in _said(pool, one, forged)

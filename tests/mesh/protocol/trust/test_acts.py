"""The set of acts: each once, and what it says of keys and rights is that of the acts that are left."""

from typing import Any

from mesh.protocol.trust.acts import Acts, is_founding
from mesh.wire.facts import NO_PREVIOUS, Eviction, Voucher
from mesh.wire.identity import pool_id
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed, sign
from simulations.signing import KeyedHash

OWNER, MEMBER = KeyedHash(1), KeyedHash(2)
POOL = pool_id(OWNER.public_key)


def _voucher(number: int, key: bytes, rights: Rights = ALL_RIGHTS) -> Signed[Any]:
    return sign(Voucher(POOL, OWNER.id, number, NO_PREVIOUS, key, rights), OWNER)


def _eviction(number: int) -> Signed[Any]:
    return sign(Eviction(POOL, OWNER.id, number, NO_PREVIOUS, MEMBER.id, 0, NO_PREVIOUS), OWNER)


def test_an_act_counts_once() -> None:
    acts, voucher = Acts(), _voucher(2, MEMBER.public_key)
    acts.add(voucher)
    acts.add(voucher)
    assert (len(acts), voucher in acts) == (1, True)
    acts.drop(voucher)
    acts.drop(voucher)
    assert (len(acts), voucher in acts) == (0, False)


def test_a_key_is_known_as_long_as_a_voucher_for_it_is() -> None:
    acts = Acts()
    work, lead = (_voucher(n, MEMBER.public_key, r) for n, r in ((2, Rights.WORK), (3, Rights.LEAD)))
    acts.add(work)
    acts.add(lead)
    assert acts.keys == {MEMBER.id: MEMBER.public_key}
    assert acts.rights == {MEMBER.id: Rights.WORK | Rights.LEAD}
    acts.drop(work)
    assert acts.keys == {MEMBER.id: MEMBER.public_key}
    acts.drop(lead)
    assert (acts.keys, acts.rights) == ({}, {})


def test_evictions_are_found_by_their_hash() -> None:
    acts, eviction = Acts(), _eviction(2)
    acts.add(eviction)
    assert acts.evictions == {eviction.hash: eviction}
    acts.drop(eviction)
    assert acts.evictions == {}


def test_only_the_founders_first_voucher_for_itself_with_all_rights_founds_a_pool() -> None:
    assert is_founding(POOL, _voucher(1, OWNER.public_key).fact)
    others = [
        _voucher(2, OWNER.public_key),
        _voucher(1, MEMBER.public_key),
        _voucher(1, OWNER.public_key, Rights.WORK),
        _eviction(1),
    ]
    assert not any(is_founding(POOL, act.fact) for act in others)
    assert not is_founding(pool_id(MEMBER.public_key), _voucher(1, OWNER.public_key).fact)

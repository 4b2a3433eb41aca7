import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol.trust import roster as module
from mesh.protocol.trust.roster import MAX_CHAIN, MAX_CONTESTED, Roster
from mesh.wire.facts import NO_PREVIOUS, Eviction, Voucher
from mesh.wire.identity import NodeId, pool_id
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed, sign
from simulations.signing import KeyedHash

KEYS = [KeyedHash(number) for number in range(12)]
FOUNDER = KEYS[0]
POOL = pool_id(FOUNDER.public_key)
FOUNDING = sign(Voucher(POOL, FOUNDER.id, 1, NO_PREVIOUS, FOUNDER.public_key, ALL_RIGHTS), FOUNDER)


def _voucher(author: int, subject: int, rights: Rights = ALL_RIGHTS, number: int = 2) -> Signed[Voucher]:
    signer = KEYS[author]
    return sign(Voucher(POOL, signer.id, number, NO_PREVIOUS, KEYS[subject].public_key, rights), signer)


def test_of_an_author_that_is_out_only_a_few_evictions_are_taken() -> None:
    roster = _roster(FOUNDING, _voucher(0, 1), _voucher(0, 2))
    roster.add(_eviction(0, KEYS[1].id))
    for number in range(MAX_CONTESTED):
        act = _eviction(1, NodeId(number.to_bytes(16, "big")))
        assert roster.takes(act.fact)
        roster.add(act)
    assert not roster.takes(_eviction(1, KEYS[2].id).fact)
    assert roster.takes(_eviction(2, KEYS[3].id).fact)


def _eviction(author: int, subject: NodeId) -> Signed[Eviction]:
    signer = KEYS[author]
    return sign(Eviction(POOL, signer.id, 1, NO_PREVIOUS, subject, 0, NO_PREVIOUS), signer)


def _roster(*vouchers: Signed[Voucher]) -> Roster:
    roster = Roster(POOL)
    for voucher in vouchers:
        roster.add(voucher)
    return roster


def test_the_founder_vouches_for_itself_and_for_others() -> None:
    roster = _roster(FOUNDING, _voucher(0, 1, Rights.WORK))
    assert roster.rights(FOUNDER.id) == ALL_RIGHTS
    assert roster.rights(KEYS[1].id) == Rights.WORK
    assert roster.key(KEYS[1].id) == KEYS[1].public_key
    assert roster.chain(KEYS[1].id) == [FOUNDING.data, _voucher(0, 1, Rights.WORK).data]


def test_nobody_but_the_holder_of_the_pools_key_founds_it() -> None:
    other = KEYS[1]
    usurper = sign(Voucher(POOL, other.id, 1, NO_PREVIOUS, other.public_key, ALL_RIGHTS), other)
    assert other.id not in _roster(usurper)


def test_a_member_that_is_no_owner_cannot_vouch() -> None:
    roster = _roster(FOUNDING, _voucher(0, 1, Rights.WORK | Rights.LEAD), _voucher(1, 2))
    assert KEYS[2].id not in roster
    roster.add(_voucher(0, 1, Rights.OWN, number=3))
    assert KEYS[2].id in roster


def test_a_chain_has_at_most_eight_links_after_the_founder() -> None:
    roster = _roster(FOUNDING, *(_voucher(n, n + 1) for n in range(11)))
    assert len(roster.members) == MAX_CHAIN + 1
    assert len(roster.chain(KEYS[MAX_CHAIN].id)) == MAX_CHAIN + 1
    assert roster.chain(KEYS[MAX_CHAIN + 1].id) == []


LINKS = st.lists(
    st.builds(
        _voucher,
        st.integers(0, 5),
        st.integers(1, 6),
        st.sampled_from([Rights.WORK, Rights.OWN, ALL_RIGHTS, ALL_RIGHTS | Rights.NO_ASK, Rights(16 + 1)]),
        st.integers(2, 9),
    ),
    max_size=12,
    unique_by=lambda signed: (signed.fact.author, signed.fact.number),
)


@given(LINKS)
def test_the_order_of_vouchers_makes_no_difference(links: list[Signed[Voucher]]) -> None:
    shuffled = sorted([FOUNDING, *links], key=lambda signed: signed.hash)
    one, other = _roster(FOUNDING, *links), _roster(*shuffled)
    assert {id: (m.rights, m.depth) for id, m in one.members.items()} == {
        id: (m.rights, m.depth) for id, m in other.members.items()
    }


@pytest.mark.parametrize("first", [Rights.WORK, Rights.WORK | Rights.NO_ASK])
def test_who_may_ask_by_one_voucher_may_ask(first: Rights) -> None:
    second = Rights.WORK ^ first ^ (Rights.LEAD | Rights.NO_ASK)
    roster = _roster(FOUNDING, _voucher(0, 5, first), _voucher(0, 5, second, number=3))
    assert roster.rights(KEYS[5].id) == Rights.WORK | Rights.LEAD
    assert roster.past_rights(KEYS[5].id) == Rights.WORK | Rights.LEAD
    barred = _roster(FOUNDING, *(_voucher(0, 5, Rights.WORK | Rights.NO_ASK, number) for number in (2, 3)))
    assert barred.rights(KEYS[5].id) == Rights.WORK | Rights.NO_ASK


def test_a_member_whose_voucher_to_ask_falls_has_lost_a_right() -> None:
    owner = KEYS[1]
    links = [
        _voucher(0, 1),
        _voucher(1, 5, Rights.WORK),
        _voucher(0, 5, Rights.WORK | Rights.NO_ASK, number=3),
    ]
    roster = _roster(FOUNDING, *links)
    assert roster.rights(KEYS[5].id) == Rights.WORK
    roster.changed = False
    eviction = Eviction(POOL, FOUNDER.id, 4, NO_PREVIOUS, owner.id, 0, NO_PREVIOUS)
    roster.add(sign(eviction, FOUNDER))
    assert roster.rights(KEYS[5].id) == Rights.WORK | Rights.NO_ASK
    assert roster.changed


def test_rights_that_a_later_version_gives_are_kept() -> None:
    roster = _roster(FOUNDING, _voucher(0, 5, Rights(16 + 1)), _voucher(0, 5, Rights(32 + 8), number=3))
    assert roster.rights(KEYS[5].id).value == 32 + 16 + 1


def test_acts_are_listed_so_that_each_can_be_proven_by_those_before_it() -> None:
    roster = _roster(_voucher(1, 2), FOUNDING, _voucher(0, 1))
    again = Roster(POOL)
    for data in roster.acts():
        signed = next(v for v in (FOUNDING, _voucher(0, 1), _voucher(1, 2)) if v.data == data)
        assert again.is_founding(signed.fact) or signed.fact.author in again
        again.add(signed)
    assert again.members.keys() == roster.members.keys()


def test_revoked_acts_of_an_evicted_owner_are_kept_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_REVOKED", 50)
    roster = Roster(POOL)
    eviction = Eviction(POOL, FOUNDER.id, 3, NO_PREVIOUS, KEYS[1].id, 0, NO_PREVIOUS)
    for act in (FOUNDING, _voucher(0, 1), sign(eviction, FOUNDER)):
        roster.add(act)
    liar = KEYS[1]
    for number in range(2, 302):
        stranger = KeyedHash(1000 + number).public_key
        roster.add(sign(Voucher(POOL, liar.id, number, NO_PREVIOUS, stranger, ALL_RIGHTS), liar))
    assert len(roster._acts) < 60
    assert len(roster._acts.keys) < 60
    assert len(roster._acts.rights) < 60

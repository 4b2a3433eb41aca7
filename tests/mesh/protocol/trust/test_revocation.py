from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol.trust.roster import Roster
from mesh.wire.facts import NO_PREVIOUS, Eviction, Voucher
from mesh.wire.identity import node_id, pool_id
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed, decode, sign
from simulations.signing import KeyedHash

KEYS = sorted((KeyedHash(number) for number in range(7)), key=lambda key: key.id)
ANNA, BERT, CARL, DORA, EMIL, FAYE, _ = KEYS
POOL = pool_id(ANNA.public_key)


@dataclass
class Owners:
    """Owners that act, each with a chain of its own; ANNA founds."""

    acts: list[Signed[Any]] = field(default_factory=list)
    heads: dict[KeyedHash, list[tuple[int, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.vouch(ANNA, ANNA)

    def _head(self, author: KeyedHash, back: int = 0) -> tuple[int, bytes]:
        chain = self.heads.setdefault(author, [(0, NO_PREVIOUS)])
        return chain[max(0, len(chain) - 1 - back)]

    def _act(self, author: KeyedHash, fact: Any) -> Signed[Any]:
        signed = sign(fact, author)
        self.acts.append(signed)
        self.heads[author].append((fact.number, signed.hash))
        return signed

    def vouch(self, author: KeyedHash, subject: KeyedHash, rights: Rights = ALL_RIGHTS, back: int = 0) -> Any:
        """The author vouches; ``back``: after a state rollback by so many acts."""
        number, previous = self._head(author, back)
        return self._act(author, Voucher(POOL, author.id, number + 1, previous, subject.public_key, rights))

    def evict(self, author: KeyedHash, subject: KeyedHash, but: int = 0) -> Any:
        """The author evicts, which revokes the last ``but`` acts of the subject."""
        number, previous = self._head(author)
        last = self._head(subject, but)
        return self._act(author, Eviction(POOL, author.id, number + 1, previous, subject.id, *last))

    def roster(self) -> Roster:
        return _roster(self.acts)


def _roster(acts: list[Signed[Any]]) -> Roster:
    roster = Roster(POOL)
    for act in acts:
        roster.add(act)
    return roster


def _campaign_term(roster: Roster) -> list[Signed[Any]]:
    return [act for act in map(decode, roster.acts()) if roster.is_valid(act)]


def _view(roster: Roster) -> object:
    members = {id: (member.rights, member.depth) for id, member in roster.members.items()}
    return members, {id: e.hash for id, e in roster.evicted.items()}, {a.hash for a in _campaign_term(roster)}


def _names(roster: Roster) -> set[str]:
    names = ["Anna", "Bert", "Carl", "Dora", "Emil", "Faye", "Gero"]
    return {name for name, key in zip(names, KEYS, strict=True) if key.id in roster}


def _all_by_anna() -> Owners:
    owners = Owners()
    for other in (BERT, CARL, DORA):
        owners.vouch(ANNA, other)
    return owners


def test_the_evicted_is_out_and_its_earlier_acts_stay_valid() -> None:
    owners = _all_by_anna()
    owners.vouch(BERT, EMIL)
    owners.evict(CARL, BERT)
    assert _names(owners.roster()) == {"Anna", "Carl", "Dora", "Emil"}


def test_acts_after_the_last_valid_one_are_revoked_with_all_that_depends_on_them() -> None:
    owners = _all_by_anna()
    owners.vouch(BERT, EMIL)
    owners.vouch(EMIL, FAYE)
    owners.evict(CARL, BERT, but=1)
    assert _names(owners.roster()) == {"Anna", "Carl", "Dora"}


def test_an_act_that_is_dated_back_after_an_eviction_is_not_valid() -> None:
    owners = _all_by_anna()
    owners.vouch(BERT, EMIL)
    owners.evict(CARL, BERT)
    owners.vouch(BERT, FAYE, back=1)
    assert "Faye" not in _names(owners.roster())


def test_an_eviction_is_for_ever() -> None:
    owners = _all_by_anna()
    owners.evict(BERT, CARL)
    owners.vouch(ANNA, CARL)
    assert "Carl" not in _names(owners.roster())


def test_a_key_without_a_voucher_can_be_evicted_beforehand() -> None:
    owners = _all_by_anna()
    owners.evict(BERT, EMIL)
    owners.vouch(CARL, EMIL)
    assert "Emil" not in _names(owners.roster())


def test_of_mutual_evictions_the_one_by_the_owner_nearer_the_founder_is_valid() -> None:
    owners = _all_by_anna()
    owners.vouch(DORA, BERT, Rights.WORK)
    owners.vouch(DORA, EMIL)
    owners.evict(EMIL, CARL)
    owners.evict(CARL, EMIL)
    assert _names(owners.roster()) == {"Anna", "Bert", "Carl", "Dora"}


def test_a_revoked_eviction_decides_what_else_is_revoked() -> None:
    owners = _all_by_anna()
    falls = owners.evict(CARL, DORA, but=9)
    owners.evict(BERT, CARL, but=9)
    owners.evict(DORA, BERT, but=9)
    whole, without = owners.roster(), _roster([act for act in owners.acts if act is not falls])
    assert not whole.is_valid(falls)
    assert whole.is_relevant(falls)
    assert _names(whole) == {"Anna", "Bert", "Dora"}
    assert _names(without) == {"Anna", "Carl", "Dora"}


def test_of_mutual_evictions_at_one_distance_the_one_by_the_smaller_id_is_valid() -> None:
    owners = _all_by_anna()
    owners.evict(DORA, CARL)
    owners.evict(CARL, DORA, but=1)
    assert _names(owners.roster()) == {"Anna", "Bert", "Carl"}


def test_the_nearer_prevails_even_when_the_other_was_faster() -> None:
    owners = _all_by_anna()
    owners.evict(DORA, CARL)
    owners.evict(CARL, DORA)
    assert _names(owners.roster()) == {"Anna", "Bert", "Carl"}


def test_the_founder_can_be_evicted_and_its_pool_goes_on() -> None:
    owners = _all_by_anna()
    owners.evict(DORA, ANNA)
    owners.vouch(ANNA, EMIL)
    owners.vouch(BERT, FAYE)
    assert _names(owners.roster()) == {"Bert", "Carl", "Dora", "Faye"}


def test_an_owner_that_evicts_the_founder_is_evicted_by_it_when_it_answers() -> None:
    owners = _all_by_anna()
    owners.evict(DORA, ANNA)
    owners.evict(ANNA, DORA)
    assert _names(owners.roster()) == {"Anna", "Bert", "Carl"}


def test_an_eviction_after_the_last_valid_act_is_revoked() -> None:
    owners = _all_by_anna()
    owners.evict(BERT, CARL)
    owners.evict(DORA, BERT, but=1)
    assert _names(owners.roster()) == {"Anna", "Carl", "Dora"}


def test_an_eviction_up_to_the_last_valid_act_stays() -> None:
    owners = _all_by_anna()
    owners.evict(BERT, CARL)
    owners.evict(DORA, BERT)
    assert _names(owners.roster()) == {"Anna", "Dora"}


def test_in_a_cycle_the_eviction_nearest_to_the_founder_stands_and_voids_the_others() -> None:
    owners = _all_by_anna()
    owners.evict(BERT, CARL)
    owners.evict(CARL, DORA)
    owners.evict(DORA, BERT, but=1)
    # Carl's is older than Bert's, which names none of Carl's acts: it is revoked with all of these.
    assert _names(owners.roster()) == {"Anna", "Bert", "Dora"}


def test_of_two_evictions_with_different_last_acts_only_what_both_leave_is_valid() -> None:
    owners = _all_by_anna()
    owners.vouch(BERT, EMIL)
    owners.vouch(BERT, FAYE)
    owners.evict(CARL, BERT)
    assert _names(owners.roster()) >= {"Emil", "Faye"}
    owners.evict(DORA, BERT, but=1)
    assert _names(owners.roster()) == {"Anna", "Carl", "Dora", "Emil"}


def test_an_eviction_that_would_revoke_its_own_author_is_void() -> None:
    owners = Owners()
    owners.vouch(ANNA, BERT)
    owners.vouch(BERT, CARL)
    owners.evict(CARL, BERT, but=1)
    assert _names(owners.roster()) == {"Anna", "Bert", "Carl"}


def test_no_owner_evicts_itself_and_an_eviction_by_a_non_owner_is_void() -> None:
    owners = _all_by_anna()
    owners.evict(BERT, BERT, but=1)
    owners.vouch(ANNA, EMIL, Rights.WORK | Rights.LEAD)
    owners.evict(EMIL, CARL)
    assert _names(owners.roster()) == {"Anna", "Bert", "Carl", "Dora", "Emil"}


def test_what_a_revoked_eviction_had_revoked_is_valid_again() -> None:
    owners = _all_by_anna()
    owners.vouch(BERT, EMIL)
    owners.evict(CARL, BERT, but=1)
    roster = owners.roster()
    assert "Emil" not in _names(roster)
    roster.add(owners.evict(DORA, CARL, but=1))
    assert _names(roster) == {"Anna", "Bert", "Dora", "Emil"}


def test_of_a_chain_that_forked_only_the_branch_that_is_named_is_valid() -> None:
    owners = _all_by_anna()
    owners.vouch(BERT, EMIL)
    owners.vouch(BERT, FAYE, back=1)
    assert {"Emil", "Faye"} <= _names(owners.roster())
    owners.evict(CARL, BERT)
    assert _names(owners.roster()) & {"Emil", "Faye"} == {"Faye"}


def test_a_promoted_member_counts_from_the_voucher_that_made_it_an_owner() -> None:
    owners = Owners()
    owners.vouch(ANNA, BERT, Rights.WORK)
    owners.vouch(ANNA, CARL)
    owners.vouch(CARL, BERT, Rights.OWN)
    owners.vouch(BERT, DORA)
    roster = owners.roster()
    assert roster.members[BERT.id].depth == 2
    assert roster.rights(BERT.id) == Rights.WORK | Rights.OWN
    assert roster.chain(DORA.id) == [
        owners.acts[0].data,
        owners.acts[2].data,
        *(a.data for a in owners.acts[3:]),
    ]


ACTS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 6),
        st.sampled_from(["vouch", "vouch", "evict"]),
        st.integers(0, 2),
        st.sampled_from([Rights.WORK, Rights.OWN, ALL_RIGHTS, ALL_RIGHTS]),
    ),
    max_size=14,
)


def _play(moves: list[Any]) -> list[Signed[Any]]:
    owners = _all_by_anna()
    for author, subject, what, back, rights in moves:
        if what == "vouch":
            owners.vouch(KEYS[author], KEYS[subject], rights, back)
        else:
            owners.evict(KEYS[author], KEYS[subject], back)
    return list({act.hash: act for act in owners.acts}.values())


@given(ACTS, st.randoms(use_true_random=False))
def test_every_order_of_arrival_gives_the_same_result(moves: list[Any], random: Any) -> None:
    acts = _play(moves)
    view = _view(_roster(acts))
    random.shuffle(acts)
    assert _view(_roster(acts)) == view
    assert _view(_roster(acts + acts[:3])) == view


@given(ACTS, st.randoms(use_true_random=False))
def test_nodes_that_know_all_relevant_acts_hold_the_same_for_members(moves: list[Any], random: Any) -> None:
    acts = _play([move for move in moves if move[0] != move[1]])  # nodes refuse an eviction of its author
    whole = _roster(acts)
    rest = [act for act in acts if not whole.is_relevant(act)]
    some = _roster(whole.relevant() + random.sample(rest, random.randrange(len(rest) + 1)))
    assert _view(some) == _view(whole)
    assert {act.hash for act in some.relevant()} == {act.hash for act in whole.relevant()}


@given(ACTS)
def test_every_relevant_act_is_proven_by_other_relevant_ones(moves: list[Any]) -> None:
    relevant = _roster(_play(moves)).relevant()
    vouchers = [act.fact for act in relevant if isinstance(act.fact, Voucher)]
    owners = {node_id(voucher.key) for voucher in vouchers if Rights.OWN in voucher.rights}
    assert {act.fact.author for act in relevant} <= owners


@given(ACTS)
def test_the_valid_acts_are_consistent(moves: list[Any]) -> None:
    roster = _roster(_play(moves))
    world = roster._world
    assert not roster.members.keys() & roster.evicted.keys()
    for act in _campaign_term(roster):
        assert world.upholds(act)
    for hash in world.in_force:
        assert world.admits(roster._acts.evictions[hash])


@given(ACTS)
def test_no_set_of_acts_makes_a_member_whose_chain_does_not_prove_it(moves: list[Any]) -> None:
    acts = _play(moves)
    roster = _roster(acts)
    by_data = {act.data: act for act in acts}
    for id, member in roster.members.items():
        links = [by_data[data].fact for data in roster.chain(id)]
        assert links[0].author == ANNA.id
        assert len(links) == member.depth + 1
        for before, link in pairwise(links):
            assert Rights.OWN in before.rights
            assert link.author == node_id(before.key)


@given(ACTS, st.randoms(use_true_random=False))
def test_restored_from_what_is_kept_it_is_the_same(moves: list[Any], random: Any) -> None:
    acts = _play(moves)
    by_data = {act.data: act for act in acts}
    roster = _roster(acts)
    again = Roster(POOL)
    for data in roster.acts():
        act = by_data[data]
        assert (
            roster.is_founding(act.fact)
            or again.past_key(act.fact.author) is not None
            or not roster.is_valid(act)
        )
        again.add(act)
    assert _view(again) == _view(roster)


@given(ACTS, ACTS)
def test_a_founder_that_nobody_evicted_has_its_way(moves: list[Any], more: list[Any]) -> None:
    owners = _all_by_anna()
    evicted = {subject for author, subject, what, *_ in moves if what == "evict" and author == 0 and subject}
    for author, subject, what, back, rights in moves:
        if what == "vouch":
            owners.vouch(KEYS[author], KEYS[subject], rights)
        elif subject != 0:
            owners.evict(KEYS[author], KEYS[subject], back)
    roster = owners.roster()
    assert ANNA.id in roster
    assert all(KEYS[number].id in roster.evicted for number in evicted)

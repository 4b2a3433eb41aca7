from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol.facts.store import (
    EQUIVOCATION,
    MAX_OF_AN_AUTHOR,
    NEW,
    STALE,
    FactStore,
    differing,
    entry_of,
)
from mesh.wire.codec import pack
from mesh.wire.facts import (
    Claim,
    Deployment,
    Fact,
    Liveness,
    PoolEngine,
    PoolState,
    Record,
    Resignation,
    Suspicion,
)
from mesh.wire.identity import PoolId
from mesh.wire.profile import Model, Profile
from mesh.wire.signed_facts import Signed, decode, sign
from simulations.signing import KeyedHash

POOL = PoolId(b"p" * 16)
SIGNERS = [KeyedHash(number) for number in range(12)]
small, anyone = st.integers(0, 3), st.integers(0, len(SIGNERS) - 1)


def _signed(author: int, make: Any) -> Signed[Any]:
    return sign(make(SIGNERS[author]), SIGNERS[author])


RECORDS = st.builds(
    lambda who, generation, sequence, rank: _signed(
        who,
        lambda s: Record(POOL, s.id, generation, bytes(8), sequence, False, Profile(rank=rank)),
    ),
    small, small, small, small,
)  # fmt: skip
CLAIMS = st.builds(
    lambda who, term, rank: _signed(who, lambda s: Claim(POOL, s.id, term, rank)), anyone, small, small
)
RESIGNATIONS = st.builds(
    lambda who, term, heir: _signed(who, lambda s: Resignation(POOL, s.id, term, SIGNERS[heir].id)),
    anyone, small, small,
)  # fmt: skip
STATES = st.builds(
    lambda who, term, progress: _signed(
        who, lambda s: PoolState(POOL, s.id, term, 1, 1, "loading", progress / 4, "", 1.0, ())
    ),
    anyone, small, small,
)  # fmt: skip
DEPLOYMENTS = st.builds(
    lambda who, number, slots, name: _signed(
        who, lambda s: Deployment(POOL, s.id, number, Model("a", 1, bytes(32)), 1, 1 + slots, True, name=name)
    ),
    small, small, small, st.sampled_from(["", "", *"abcdefghij"]),
)  # fmt: skip
ENGINES = st.builds(
    lambda who, number, release: _signed(who, lambda s: PoolEngine(POOL, s.id, (number,), b"", release, b"")),
    small, small, st.sampled_from(["", "b1", "b2"]),
)  # fmt: skip


def _later(who: int, kind: int, version: list[int], place: bytes, word: int) -> Signed[Any]:
    """A fact of a kind that this program does not know."""
    body = pack([kind, POOL, SIGNERS[who].id, version, place, word])
    return decode(body + SIGNERS[who].sign(body))


LATER_FACTS = st.builds(
    _later, st.integers(0, 1), st.sampled_from([77, 78, 200]), st.lists(small, max_size=3),
    st.sampled_from([b"", b"a", b"b", b"c"]), small,
)  # fmt: skip
LIVENESSES = st.builds(
    lambda who, incarnation, stable: _signed(who, lambda s: Liveness(POOL, s.id, 1, incarnation, stable)),
    small, small, st.booleans(),
)  # fmt: skip
FACTS = st.lists(
    RECORDS | CLAIMS | RESIGNATIONS | STATES | DEPLOYMENTS | LIVENESSES | ENGINES | LATER_FACTS, max_size=60
)
"""Claims of more authors than a store keeps, with many equivocations among them."""


def _filled(facts: list[Signed[Any]]) -> FactStore:
    store = FactStore(suspectors=3)
    for fact in facts:
        store.offer(fact)
    return store


def _held(store: FactStore) -> set[bytes]:
    return {signed.data for signed in store.everything()}


def _merged(*stores: FactStore) -> FactStore:
    """A store that took all facts of these stores, one store after the other."""
    return _filled([signed for store in stores for signed in store.everything()])


@given(FACTS, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_come_makes_no_difference(facts: list[Signed[Any]], random: Any) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)
    one, other = _filled(facts), _filled(shuffled + facts[:3])
    assert _held(one) == _held(other)
    assert one.summary == other.summary
    assert one.bucket_hashes() == other.bucket_hashes()


@given(FACTS, FACTS, FACTS)
def test_merging_is_commutative_associative_and_idempotent(
    some: list[Signed[Any]], others: list[Signed[Any]], more: list[Signed[Any]]
) -> None:
    a, b, c = _filled(some), _filled(others), _filled(more)
    assert _held(_merged(a, b)) == _held(_merged(b, a)) == _held(_filled(some + others))
    assert _held(_merged(_merged(a, b), c)) == _held(_merged(a, _merged(b, c)))
    assert _held(_merged(a, a)) == _held(a)


@given(FACTS, FACTS)
def test_two_stores_have_one_summary_only_when_they_hold_the_same(
    some: list[Signed[Any]], others: list[Signed[Any]]
) -> None:
    one, other = _filled(some), _filled(others)
    assert (one.summary == other.summary) == (_held(one) == _held(other))


@given(FACTS, FACTS)
def test_exchanging_what_the_other_wants_makes_two_stores_equal(
    some: list[Signed[Any]], others: list[Signed[Any]]
) -> None:
    one, other = _filled(some), _filled(others)
    for taker, source in ((one, other), (other, one)):
        for bucket in differing(taker.bucket_hashes(), source.bucket_hashes()):
            for rumour in (entry.rumour for entry in source.entries_in(bucket)):
                entry = source.entry(rumour.key)
                if taker.wants(rumour) and entry is not None:
                    taker.offer(entry.signed)
    assert one.summary == other.summary


def _record(generation: int, sequence: int, rank: int = 0) -> Signed[Any]:
    profile = Profile(rank=rank)
    return _signed(0, lambda s: Record(POOL, s.id, generation, bytes(8), sequence, False, profile))


def test_a_higher_generation_prevails_over_any_sequence() -> None:
    store = FactStore(3)
    assert store.offer(_record(1, 9)) == NEW
    assert store.offer(_record(2, 1)) == NEW
    assert store.offer(_record(1, 10)) == STALE
    held = store.get(Record, SIGNERS[0].id)
    assert held is not None
    assert held.fact.version == (2, 1)


def test_two_suspicions_of_one_liveness_by_one_author_are_no_equivocation_and_merge() -> None:
    subject = SIGNERS[1].id
    both = [_signed(0, lambda s, r=r: Suspicion(POOL, s.id, subject, 1, 0, r)) for r in (False, True)]
    smaller, larger = sorted(both, key=lambda signed: signed.hash)
    for order in ([smaller, larger], [larger, smaller]):
        store = FactStore(suspectors=3)
        store.raise_liveness(subject, (1, 0))
        outcomes = [store.offer(signed) for signed in order]
        assert outcomes == ([NEW, STALE] if order[0] is smaller else [NEW, NEW])
        assert (store.suspicions(subject), store.proofs) == ([smaller], {})


def test_an_equivocation_leaves_proof() -> None:
    store = FactStore(3)
    one, other = _record(1, 1, rank=1), _record(1, 1, rank=2)
    store.offer(one)
    assert store.offer(other) == EQUIVOCATION
    assert set(store.proofs[entry_of(one).key]) == {one.data, other.data}


ACCUSED = SIGNERS[0]


def _suspicion(suspector: int, generation: int = 1, incarnation: int = 0) -> Signed[Any]:
    return _signed(suspector, lambda s: Suspicion(POOL, s.id, ACCUSED.id, generation, incarnation))


def test_a_suspicion_of_an_unproven_liveness_is_not_taken() -> None:
    store = FactStore(3)
    assert store.offer(_suspicion(1)) == STALE
    store.raise_liveness(ACCUSED.id, (1, 0))
    assert store.offer(_suspicion(1, incarnation=1)) == STALE
    assert store.offer(_suspicion(1)) == NEW


def test_suspicions_lapse_when_the_liveness_of_the_suspect_rises() -> None:
    store = FactStore(3)
    store.raise_liveness(ACCUSED.id, (1, 0))
    empty = store.summary
    store.offer(_suspicion(1))
    assert store.summary != empty
    store.raise_liveness(ACCUSED.id, (1, 1))
    assert store.suspicions(ACCUSED.id) == []
    assert store.summary == empty


@given(st.permutations([KeyedHash(number) for number in range(10, 16)]))
def test_of_many_suspicions_every_store_keeps_the_same_few(suspectors: list[KeyedHash]) -> None:
    def filled(order: list[KeyedHash]) -> FactStore:
        store = FactStore(3)
        store.raise_liveness(ACCUSED.id, (1, 0))
        for signer in order:
            fact: Fact = Suspicion(POOL, signer.id, ACCUSED.id, 1, 0)
            store.offer(sign(fact, signer))
        return store

    store = filled(suspectors)
    assert len(store.suspicions(ACCUSED.id)) == 3
    assert store.summary == filled(sorted(suspectors, key=lambda signer: signer.id)).summary


def test_a_store_tells_kinds_apart() -> None:
    store = _filled([_record(1, 1), _signed(0, lambda s: Claim(POOL, s.id, 1, 1))])
    assert len(list(store.all(Record))) == len(list(store.all(Claim))) == 1
    assert list(store.all(Liveness)) == []
    assert len(store) == 2


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(1, 30), small), max_size=40), st.data())
def test_of_many_claims_every_store_keeps_the_same_few_highest(said: list[Any], data: Any) -> None:
    keys = [KeyedHash(number) for number in range(20)]
    claims: list[Signed[Any]] = [sign(Claim(POOL, keys[a].id, t, rank), keys[a]) for a, t, rank in said]
    store = _filled(claims)
    assert store.summary == _filled(data.draw(st.permutations(claims))).summary
    latest: dict[bytes, Signed[Any]] = {}
    for claim in sorted(claims, key=lambda signed: signed.fact.term):
        latest[claim.fact.author] = claim
    highest = sorted((signed.fact.term for signed in latest.values()), reverse=True)[:8]
    assert sorted((signed.fact.term for signed in store.all(Claim)), reverse=True) == highest


def test_a_claim_below_the_few_that_are_kept_does_not_come_back() -> None:
    keys = [KeyedHash(number) for number in range(9)]
    claims: list[Signed[Any]] = [
        sign(Claim(POOL, key.id, term, 1), key) for term, key in enumerate(keys, start=1)
    ]
    store = _filled(claims)
    assert store.offer(claims[0]) == STALE
    assert store.get(Claim, keys[0].id) is None


@given(st.permutations(range(12)), st.integers(0, 8))
def test_of_an_author_a_store_keeps_few_facts_of_later_kinds_known_or_not(
    order: list[int], engine: int
) -> None:
    said = [_later(0, 77 + number % 3, [number], bytes([number]), 1) for number in order]
    said.append(_signed(0, lambda s: PoolEngine(POOL, s.id, (engine,), b"", "b1", b"")))
    others = _later(1, 77, [0], b"", 1)
    store = _filled([others, *said])
    highest = sorted([*range(12), engine], reverse=True)[:MAX_OF_AN_AUTHOR]
    kept = [signed for signed in store.everything() if signed.fact.author == SIGNERS[0].id]
    assert sorted((signed.fact.version[0] for signed in kept), reverse=True) == highest
    assert others in list(store.everything())


CHOSEN_BY_AUTHORS = st.lists(LATER_FACTS, max_size=60) | st.lists(DEPLOYMENTS, max_size=60)


@given(CHOSEN_BY_AUTHORS, st.randoms(use_true_random=False))
def test_of_what_an_author_names_itself_every_store_keeps_the_same_few(
    facts: list[Signed[Any]], random: Any
) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)
    store = _filled(facts)
    assert _held(store) == _held(_filled(shuffled))
    for signer in SIGNERS:
        latest: dict[bytes, tuple[Any, ...]] = {}
        for signed in facts:
            if signed.fact.author == signer.id:
                latest[signed.key] = max(latest.get(signed.key, ()), signed.fact.version)
        highest = sorted(latest.values(), reverse=True)[:MAX_OF_AN_AUTHOR]
        kept = [signed.fact.version for signed in store.everything() if signed.fact.author == signer.id]
        assert sorted(kept, reverse=True) == highest


def _state(author: int, term: int, name: str) -> Signed[Any]:
    return _signed(author, lambda s: PoolState(POOL, s.id, term, 1, 1, "loading", 0.5, "", 1.0, (), name))


NAMED_STATES = st.lists(
    st.builds(_state, st.integers(0, 7), st.integers(1, 30), st.sampled_from("abcdefghijkl")), max_size=60
)


@given(NAMED_STATES, st.randoms(use_true_random=False))
def test_of_states_with_names_every_store_keeps_the_same(states: list[Signed[Any]], random: Any) -> None:
    shuffled = list(states)
    random.shuffle(shuffled)
    store = _filled(states)
    assert _held(store) == _held(_filled(shuffled))
    assert len({signed.fact.author for signed in store.everything()}) <= 4
    assert len(store) <= 4 * MAX_OF_AN_AUTHOR


def test_one_author_with_many_states_leaves_room_for_the_leaders() -> None:
    """The leader's is the lowest of all: a liar names any term."""
    leaders = _state(1, 1, "")
    store = _filled([leaders, *(_state(0, 2**60, f"{number}") for number in range(12))])
    assert leaders in list(store.everything())
    assert len(store) == MAX_OF_AN_AUTHOR + 1


def test_facts_of_all_later_kinds_share_their_authors_room() -> None:
    store = _filled([_later(0, 77 + n % 3, [n], bytes([n]), 1) for n in range(20)])
    others = _filled([_later(1, 77, [1], b"", 1), *(signed for signed in store.everything())])
    assert sorted(signed.fact.version for signed in store.everything()) == [(n,) for n in range(12, 20)]
    assert len(others) == MAX_OF_AN_AUTHOR + 1
    assert store.offer(_later(0, 99, [11], b"", 1)) == STALE
    assert store.offer(_later(0, 99, [20], b"", 1)) == NEW
    assert len(store) == MAX_OF_AN_AUTHOR

"""A store takes, drops and forgets facts in any order: its set hashes follow each step."""

from functools import reduce
from operator import xor

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.protocol.facts.store import EQUIVOCATION, NEW, FactStore, bucket_of
from mesh.wire.facts import Claim, Fact, Liveness, PoolState, Record, Resignation, Suspicion, Voucher
from mesh.wire.identity import PoolId
from mesh.wire.messages import BUCKETS
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.signed_facts import sign
from simulations.signing import KeyedHash

ACCUSERS = 3
POOL = PoolId(bytes(16))
KEYS = [KeyedHash(number) for number in range(12)]

members = st.integers(0, 3)
anyone = st.integers(0, len(KEYS) - 1)
few = st.integers(0, 3)


class Store(RuleBasedStateMachine):
    """One store, and every fact that it was ever offered."""

    def __init__(self) -> None:
        super().__init__()
        self.store = FactStore(ACCUSERS)

    def offer(self, author: int, fact: Fact) -> None:
        signed = sign(fact, KEYS[author])
        wanted = self.store.would_change(signed)
        outcome = self.store.offer(signed)
        assert (outcome in (NEW, EQUIVOCATION)) == wanted
        assert not self.store.would_change(signed) or outcome == EQUIVOCATION
        held = self.store.entry(signed.key)
        if wanted and held is not None:
            assert held.signed.fact.version >= fact.version

    @rule(author=members, number=few, named=members)
    def vouches(self, author: int, number: int, named: int) -> None:
        key = KEYS[named].public_key
        self.offer(author, Voucher(POOL, KEYS[author].id, number, bytes(16), key, ALL_RIGHTS))

    @rule(author=members, generation=few, sequence=few, name=st.sampled_from(["this", "that"]))
    def describes_itself(self, author: int, generation: int, sequence: int, name: str) -> None:
        profile = Profile(name=name)
        self.offer(author, Record(POOL, KEYS[author].id, generation, bytes(8), sequence, False, profile))

    @rule(author=anyone, term=few, rank=few)
    def claims(self, author: int, term: int, rank: int) -> None:
        self.offer(author, Claim(POOL, KEYS[author].id, term, rank))

    @rule(author=members, term=few, heir=members)
    def resigns(self, author: int, term: int, heir: int) -> None:
        self.offer(author, Resignation(POOL, KEYS[author].id, term, KEYS[heir].id))

    @rule(author=anyone, term=few, sequence=few)
    def tells_the_state(self, author: int, term: int, sequence: int) -> None:
        self.offer(author, PoolState(POOL, KEYS[author].id, term, sequence, 1, "ready", 1.0, "", 1.0, ()))

    @rule(author=members, generation=few, incarnation=few)
    def lives(self, author: int, generation: int, incarnation: int) -> None:
        self.offer(author, Liveness(POOL, KEYS[author].id, generation, incarnation))
        self.store.raise_liveness(KEYS[author].id, (generation, incarnation))

    @rule(author=anyone, subject=members, generation=few, incarnation=few)
    def suspects(self, author: int, subject: int, generation: int, incarnation: int) -> None:
        suspected = KEYS[subject].id
        self.offer(author, Suspicion(POOL, KEYS[author].id, suspected, generation, incarnation))

    @rule(author=anyone)
    def loses_its_voice(self, author: int) -> None:
        self.store.retain(lambda signed: signed.fact.author != KEYS[author].id)
        assert all(signed.fact.author != KEYS[author].id for signed in self.store.everything())

    @rule(subject=members)
    def is_forgotten(self, subject: int) -> None:
        self.store.forget(KEYS[subject].id)
        assert self.store.suspicions(KEYS[subject].id) == []
        assert self.store.liveness(KEYS[subject].id) == ()

    @invariant()
    def hashes_are_those_of_what_is_held(self) -> None:
        hashes = [0] * BUCKETS
        for signed in self.store.everything():
            hashes[bucket_of(signed.key)] ^= int.from_bytes(signed.hash[:8], "big")
        assert self.store.bucket_hashes() == tuple(value.to_bytes(8, "big") for value in hashes)
        assert self.store.summary == reduce(xor, hashes).to_bytes(8, "big")

    @invariant()
    def all_views_show_the_same(self) -> None:
        every = {signed.key: signed for signed in self.store.everything()}
        assert len(every) == len(self.store)
        for key, signed in every.items():
            fact = signed.fact
            assert self.store.get(type(fact), fact.author, fact.place) is signed
            assert self.store.entry(key) is not None
        told = [entry.key for bucket in range(BUCKETS) for entry in self.store.entries_in(bucket)]
        assert sorted(told) == sorted(every)

    @invariant()
    def of_what_anyone_may_say_only_a_few_stay(self) -> None:
        assert len(list(self.store.all(Claim))) <= 8
        assert len(list(self.store.all(PoolState))) <= 4
        for key in KEYS:
            suspicions = self.store.suspicions(key.id)
            assert len(suspicions) <= ACCUSERS
            assert all(signed.fact.version == self.store.liveness(key.id) for signed in suspicions)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

"""Any fact and any message within bounds, and any tail that a later version may append to one."""

from typing import Any

from hypothesis import strategies as st

from mesh.wire import codec, facts, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Fact
from mesh.wire.identity import NodeId
from mesh.wire.messages import Message
from mesh.wire.profile import MAX_DEVICE_NAME, MAX_NAME, Model, OfferedDevice, Profile
from mesh.wire.rights import Rights
from mesh.wire.rumours import Rumour
from mesh.wire.signed_facts import MAX_DEPLOYMENT_NAME, MAX_OPTIONS, MAX_QUARANTINES
from tests.mesh.wire.test_signed_facts import POOL, SIGNER

ANYTHING = st.recursive(
    st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=20)
    | st.text(max_size=20)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)
"""Whatever a field of a later version may hold: anything but maps and extensions."""

TAILS = st.lists(ANYTHING, min_size=1, max_size=5).map(codec.pack).filter(lambda tail: len(tail) <= 320)
UINTS = st.integers(0, codec.MAX_UINT)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
IDS = st.binary(min_size=16, max_size=16).map(NodeId)
ME = SIGNER.id


def texts(limit: int) -> st.SearchStrategy[str]:
    """Texts of at most ``limit`` bytes."""
    return st.text(max_size=limit).filter(lambda text: len(text.encode()) <= limit)


def tuples(item: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """Tuples of few items: sizes have tests of their own."""
    return st.lists(item, max_size=min(most, 4)).map(tuple)


HASHES = st.binary(min_size=16, max_size=16)
ROOTS = st.binary(min_size=32, max_size=32)
ENDPOINTS = st.builds(Endpoint, st.sampled_from(["10.0.0.1", "::1", "fe80::1%eth0"]), st.integers(1, 65535))
MODELS = st.builds(Model, texts(MAX_NAME), UINTS, ROOTS)
DEVICES = st.builds(
    OfferedDevice, texts(16), texts(MAX_DEVICE_NAME), UINTS, UINTS, FLOATS, FLOATS, FLOATS, FLOATS
)
CLOSED_PROFILES = st.builds(
    Profile,
    name=texts(48),
    addresses=tuples(ENDPOINTS, 6),
    accelerator_kind=texts(16),
    accelerator_name=texts(64),
    memory_total=UINTS,
    memory_offered=UINTS,
    memory_free=UINTS,
    tokens_per_second=FLOATS,
    engine_state=texts(16),
    engine_progress=FLOATS,
    engine_reason=texts(120),
    engine_commit=texts(40),
    engine_rpc=texts(16),
    models=tuples(MODELS, 2),
    rank=UINTS,
    paused=st.booleans(),
)
"""Profiles as they were in version 2; their records fit in it."""

OPTIONS = st.dictionaries(texts(24), texts(64), max_size=MAX_OPTIONS).map(
    lambda all: tuple(sorted(all.items()))
)
NAMES = texts(MAX_DEPLOYMENT_NAME)
QUARANTINES = st.builds(facts.Quarantine, IDS, texts(MAX_DEVICE_NAME), UINTS, texts(96))
STAGES = st.builds(facts.Stage, IDS, UINTS, UINTS, st.booleans(), UINTS, FLOATS)
_BY = {"pool": st.just(POOL), "author": st.just(ME)}
_ACT = {**_BY, "number": UINTS, "previous": HASHES}
_LIVED = {**_BY, "generation": UINTS, "incarnation": UINTS}
_RECORD = {
    **_BY,
    "generation": UINTS,
    "nonce": st.binary(min_size=8, max_size=8),
    "sequence": UINTS,
    "left": st.booleans(),
}
_DEPLOYMENT = {
    **_BY,
    "number": UINTS,
    "model": MODELS,
    "context": UINTS,
    "slots": UINTS,
    "running": st.booleans(),
    "layers": tuples(st.tuples(IDS, UINTS), 128),
    "copies": st.integers(1, facts.MAX_COPIES),
}
_STATE = {
    **_BY,
    "term": UINTS,
    "sequence": UINTS,
    "deployment": UINTS,
    "phase": texts(16),
    "progress": FLOATS,
    "reason": texts(200),
    "tokens_per_second": FLOATS,
    "stages": tuples(STAGES, facts.MAX_STAGES),
}
_SAME: list[st.SearchStrategy[Any]] = [
    st.builds(facts.Eviction, **_ACT, subject=IDS, last=UINTS, last_hash=HASHES),
    st.builds(facts.Claim, **_BY, term=UINTS, rank=UINTS),
    st.builds(facts.Resignation, **_BY, term=UINTS, successor=IDS),
    st.builds(facts.Liveness, **_LIVED, stable=st.booleans()),
    st.builds(facts.Suspicion, **_LIVED, subject=IDS, refused=st.booleans()),
]
"""Facts that have had no field since version 2."""


def _vouchers(highest: int) -> st.SearchStrategy[facts.Voucher]:
    rights = st.integers(0, highest).map(Rights)
    return st.builds(facts.Voucher, **_ACT, key=ROOTS, rights=rights)


CLOSED_FACTS: st.SearchStrategy[Fact] = st.one_of(
    _vouchers(7),
    st.builds(facts.Record, **_RECORD, profile=CLOSED_PROFILES),
    st.builds(facts.Deployment, **_DEPLOYMENT),
    st.builds(facts.PoolState, **_STATE),
    *_SAME,
)
"""Any fact that says no more than version 2 could."""

ANY_FACTS: st.SearchStrategy[Fact] = st.one_of(
    _vouchers(255),
    st.builds(
        facts.Record,
        **_RECORD,
        profile=st.builds(Profile, build=texts(40), models=tuples(MODELS, 2), devices=tuples(DEVICES, 4)),
    ),
    st.builds(facts.Deployment, **_DEPLOYMENT, name=NAMES, options=OPTIONS, second=st.none() | MODELS),
    st.builds(facts.PoolState, **_STATE, quarantines=tuples(QUARANTINES, MAX_QUARANTINES), name=NAMES),
    st.builds(
        facts.PoolEngine,
        **_BY,
        version=st.tuples(UINTS),
        place=st.just(b""),
        release=texts(40),
        digest=st.binary(max_size=32),
    ),
    *_SAME,
)
"""Any fact of this version."""

KEYS = st.binary(min_size=8, max_size=8)
SMALL = st.binary(max_size=100)
RUMOURS = tuples(
    st.builds(Rumour, KEYS, st.lists(UINTS, max_size=3).map(tuple), st.binary(min_size=4, max_size=4)), 9
)
ANY_MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(messages.Ping, UINTS, KEYS, UINTS, UINTS),
    st.builds(messages.Ack, UINTS, KEYS, UINTS, UINTS),
    st.builds(messages.PingRequest, UINTS, IDS, ENDPOINTS),
    st.builds(messages.Relayed, UINTS, SMALL),
    st.builds(messages.Nack, UINTS),
    st.builds(messages.Hello, st.booleans(), KEYS, tuples(SMALL, 8)),
    st.builds(messages.Rumours, RUMOURS),
    st.builds(messages.Pull, tuples(KEYS, 9)),
    st.builds(messages.Bodies, tuples(SMALL, 9)),
    st.builds(messages.Buckets, tuples(KEYS, 64)),
    st.builds(messages.Contents, tuples(UINTS, 64), RUMOURS),
    st.builds(messages.VoteRequest, UINTS),
    st.builds(messages.Vote, UINTS, st.booleans(), SMALL),
    st.builds(messages.LeaseRequest, IDS, UINTS, UINTS, SMALL, SMALL, NAMES),
    st.builds(messages.LeaseGrant, UINTS, UINTS, NAMES),
    st.builds(messages.LeaseRefusal, UINTS, UINTS, SMALL, NAMES),
    st.builds(messages.LeaseRelease, IDS, UINTS, UINTS, NAMES),
)

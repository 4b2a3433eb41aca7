import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec, facts, signed_facts
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError
from mesh.wire.facts import (
    Claim,
    Deployment,
    Eviction,
    Fact,
    Liveness,
    PoolEngine,
    PoolState,
    Quarantine,
    Record,
    Resignation,
    Stage,
    Suspicion,
    Voucher,
)
from mesh.wire.identity import Identity, NodeId, PoolId, node_id, verify
from mesh.wire.profile import Model, OfferedDevice, Profile, fitted, max_record
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.versions import SPOKEN

SIGNER = Identity.from_seed(bytes(32))
POOL = PoolId(b"p" * 16)
ME, OTHER = SIGNER.id, NodeId(b"o" * 16)
MODEL = Model("model.gguf", 10**9, b"r" * 32)
PROFILE = Profile(
    "host", (Endpoint("10.0.0.1", 50052), Endpoint("::1", 1)), memory_total=2**40, models=(MODEL,)
)
FACTS: list[Any] = [
    Voucher(POOL, ME, 1, facts.NO_PREVIOUS, SIGNER.public_key, ALL_RIGHTS),
    Eviction(POOL, ME, 2, b"h" * 16, OTHER, 7, b"l" * 16),
    Record(POOL, ME, 3, b"nonce..8", 4, False, PROFILE),
    Claim(POOL, ME, 5, 6),
    Resignation(POOL, ME, 5, OTHER),
    Deployment(POOL, ME, 1, MODEL, 4096, 2, True, ((ME, 3), (OTHER, 4)), copies=3),
    PoolState(POOL, ME, 5, 1, 3, "ready", 1.0, "", 12.5, (Stage(ME, 0, 9, True, 10**9, 1.5),)),
    Liveness(POOL, ME, 3, 1),
    Suspicion(POOL, ME, OTHER, 3, 0),
]  # fmt: skip
GROWN_FACTS: list[Any] = [
    replace(FACTS[0], rights=Rights(255)),
    replace(
        FACTS[2],
        profile=replace(PROFILE, build="1.2", devices=(OfferedDevice("cuda", "gpu", 2, 1, 1.5, slope=0.5),)),
    ),
    replace(FACTS[5], name="second", options=(("later", "word"), ("mmap", "off")), second=MODEL),
    replace(FACTS[6], quarantines=(Quarantine(OTHER, "gpu", 60, "it died"),), name="second"),
    PoolEngine(POOL, ME, (1,), b"", "b1", bytes(32)),
    *(replace(fact, unknown=codec.pack(["later", [1, [2.5]], None])) for fact in FACTS),
]
"""Facts that say what version 2 has no words for, and facts of a version after this one."""


@pytest.mark.parametrize("fact", [*FACTS, *GROWN_FACTS], ids=lambda fact: type(fact).__name__)
def test_a_signed_fact_is_read_as_it_was_said_and_proven(fact: Fact) -> None:
    signed = signed_facts.sign(fact, SIGNER)
    read: signed_facts.Signed[Any] = signed_facts.decode(signed.data)
    assert read == signed
    assert read.fact == fact
    assert read.proven_by(SIGNER.public_key, verify)
    assert not read.proven_by(Identity.from_seed(b"\1" * 32).public_key, verify)


@given(st.sampled_from(FACTS), st.integers(0, 2**31), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_unproven(fact: Fact, position: int, change: int) -> None:
    data = bytearray(signed_facts.sign(fact, SIGNER).data)
    data[position % len(data)] ^= change
    with contextlib.suppress(DecodeError):
        assert not signed_facts.decode(bytes(data)).proven_by(SIGNER.public_key, verify)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_fact_or_refused_with_the_one_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        signed_facts.decode(data)


@given(
    st.integers(0, 12),
    st.lists(st.integers(0, 9) | st.binary(max_size=33) | st.text(max_size=9), max_size=12),
)
def test_well_formed_nonsense_is_refused_with_the_one_error(kind: int, fields: list[object]) -> None:
    with contextlib.suppress(DecodeError):
        signed_facts.decode(codec.pack([kind, *fields]) + bytes(64))


@pytest.mark.parametrize("rights", [-1, 256, True, "all"])
def test_rights_that_no_version_has_are_refused(rights: object) -> None:
    fields = [Voucher.kind, POOL, ME, 1, facts.NO_PREVIOUS, SIGNER.public_key, rights]
    with pytest.raises(DecodeError, match="rights"):
        signed_facts.decode(codec.pack(fields) + bytes(64))


@pytest.mark.parametrize("rights", [8, 64, 255])
def test_rights_of_a_later_version_are_kept_as_they_came(rights: int) -> None:
    fields = [Voucher.kind, POOL, ME, 1, facts.NO_PREVIOUS, SIGNER.public_key, rights]
    data = codec.pack(fields) + bytes(64)
    assert signed_facts.decode(data).fact.rights.value == rights
    with pytest.raises(DecodeError, match="rights"):
        signed_facts.decode(data, 2)


def test_a_fact_that_nobody_could_read_is_not_signed() -> None:
    with pytest.raises(DecodeError):
        signed_facts.sign(Claim(POOL, ME, -1, 0), SIGNER)


def test_the_subject_of_a_voucher_is_named_by_its_key() -> None:
    assert node_id(SIGNER.public_key) == ME


def test_a_profile_is_cut_until_its_record_fits_a_datagram() -> None:
    models = tuple(Model("m" * 200 + str(n), n, bytes(32)) for n in range(20))
    addresses = tuple(Endpoint(f"fe80::{n}%interface", 50052) for n in range(1, 20))
    profile, _ = fitted(
        Profile("ä" * 99, addresses, accelerator_name="g" * 99, engine_reason="r" * 999, models=models)
    )
    signed = signed_facts.sign(Record(POOL, ME, 2**40, bytes(8), 2**40, False, profile), SIGNER)
    assert len(signed.data) <= max_record(SPOKEN.newest)
    assert signed_facts.decode(signed.data).fact.profile == profile
    assert len(profile.name.encode()) <= 48


@given(st.integers(-1, facts.MAX_COPIES * 2))
def test_a_deployment_asks_for_one_copy_to_a_stated_number(copies: int) -> None:
    wish = Deployment(POOL, ME, 1, MODEL, 4096, 2, True, copies=copies)
    if 1 <= copies <= facts.MAX_COPIES:
        assert signed_facts.decode(signed_facts.sign(wish, SIGNER).data).fact == wish
    else:
        with pytest.raises(DecodeError, match="copies"):
            signed_facts.sign(wish, SIGNER)

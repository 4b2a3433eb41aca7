"""Facts that grow: what programs of versions 2, 3 and later read of each other's facts, and pass on."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mesh.protocol.facts.store import NEW, FactStore
from mesh.wire import codec
from mesh.wire.envelope import MAX_BODY
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import (
    Claim,
    Deployment,
    Eviction,
    Fact,
    LaterFact,
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
from mesh.wire.identity import verify
from mesh.wire.messages import Bodies, LeaseRequest, encode
from mesh.wire.profile import Model, OfferedDevice, Profile, max_record
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import (
    MAX_ACT,
    MAX_BRIEF,
    MAX_FACT,
    MAX_LATER,
    MAX_OPTIONS,
    MAX_QUARANTINES,
    Signed,
    decode,
    sign,
)
from tests.mesh.wire.any_values import ANY_FACTS, ANYTHING, CLOSED_FACTS, TAILS
from tests.mesh.wire.test_signed_facts import FACTS, ME, MODEL, POOL, PROFILE, SIGNER

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("version_2.json").read_text())
"""What the last program of version 2 alone made of the examples."""

LATER = 4
STATE = PoolState(POOL, ME, 5, 1, 3, "ready", 1.0, "", 12.5, ())
WISH = Deployment(POOL, ME, 1, MODEL, 4096, 2, True)


def signed_bytes(body: list[Any]) -> bytes:
    """What an author of any version may sign."""
    data = codec.pack(body)
    return data + SIGNER.sign(b"mesh fact 1\0" + data)


def passed_on(data: bytes, version: int) -> Signed[Any]:
    """What a member of this version takes from one member, and the bytes that it hands to the next."""
    signed = decode(data, version)
    assert signed.proven_by(SIGNER.public_key, verify)
    store = FactStore(suspectors=3)
    if isinstance(signed.fact, Suspicion):
        store.raise_liveness(signed.fact.subject, signed.fact.version)
    assert store.offer(signed) == NEW
    entry = store.entry(signed.key)
    assert entry is not None
    return entry.signed


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_of_version_2_has_the_bytes_that_it_had_in_version_2(fact: Fact) -> None:
    golden = bytes.fromhex(GOLDEN["facts"][type(fact).__name__])
    assert [sign(fact, SIGNER, version).data for version in (2, 3)] == [golden, golden]
    assert [decode(golden, version).fact for version in (2, 3)] == [fact, fact]


@given(CLOSED_FACTS)
def test_a_fact_without_new_content_is_the_same_in_both_forms(fact: Fact) -> None:
    older, newer = (sign(fact, SIGNER, version) for version in (2, 3))
    assert older == newer
    assert decode(older.data, 2) == decode(older.data, 3) == newer
    assert newer.is_closed


@given(ANY_FACTS, st.just(b"") | TAILS)
def test_a_fact_with_any_tail_passes_through_three_generations_unchanged(fact: Fact, tail: bytes) -> None:
    fact = replace(fact, unknown=tail)
    data = sign(fact, SIGNER).data
    for version in (3, LATER, 3):
        handed_on = passed_on(data, version)
        assert handed_on.data == data
        assert handed_on.fact == fact
    assert sign(handed_on.fact, SIGNER).data == data
    assert decode(data, 3).is_closed is not _says_more(fact)


def _says_more(fact: Fact) -> bool:
    """Whether the fact says what version 2 has no words for."""
    profile = fact.profile if isinstance(fact, Record) else None
    return (
        bool(fact.unknown)
        or isinstance(fact, PoolEngine)
        or (isinstance(fact, Voucher) and fact.rights.value > ALL_RIGHTS.value)
        or (profile is not None and (profile.build, profile.devices) != ("", ()))
        or (isinstance(fact, Deployment) and (fact.name, fact.options, fact.second) != ("", (), None))
        or (isinstance(fact, PoolState) and (fact.quarantines, fact.name) != ((), ""))
    )


@given(
    st.integers(10, 255),
    st.lists(st.integers(0, codec.MAX_UINT), max_size=3),
    st.binary(max_size=32),
    st.lists(ANYTHING, max_size=5),
)
def test_a_fact_of_a_later_kind_passes_through_three_generations_unchanged(
    kind: int, version: list[int], place: bytes, rest: list[Any]
) -> None:
    data = signed_bytes([kind, POOL, ME, version, place, *rest])
    for reader in (3, LATER, 3):
        handed_on = passed_on(data, reader)
        assert (handed_on.data, handed_on.is_closed) == (data, False)
        fact = handed_on.fact
        assert (fact.kind, fact.version, fact.place) == (kind, tuple(version), place)


@given(CLOSED_FACTS, st.lists(ANYTHING, min_size=1, max_size=6))
def test_no_field_after_the_first_makes_a_fact_be_refused(fact: Fact, rest: list[Any]) -> None:
    """A member of a version that does not know those fields takes the fact: all others must, too."""
    data = signed_bytes([*codec.unpack(sign(fact, SIGNER, 2).data[:-64], MAX_FACT), *rest])
    assume(len(data) <= MAX_BRIEF)  # beyond its bound any fact is refused
    read = passed_on(data, 3)
    assert read.data == data
    for field in fields(fact):
        if field.name not in ("name", "options", "second", "quarantines", "unknown"):
            assert getattr(read.fact, field.name) == getattr(fact, field.name)


def test_what_is_appended_inside_of_a_fact_is_passed_on_and_ignored() -> None:
    device = ["cuda", "", 2, 1, 0.0, 0.0, 0.0, 1.5, "later"]
    array = codec.unpack(sign(Record(POOL, ME, 1, bytes(8), 1, False, PROFILE), SIGNER).data[:-64], MAX_FACT)
    array[-1] += ["1.2", [device], "later", [["later"]]]
    read = passed_on(signed_bytes(array), 3)
    assert read.fact.profile == replace(
        PROFILE, build="1.2", devices=(OfferedDevice("cuda", "", 2, 1, slope=1.5),)
    )
    state = codec.unpack(
        sign(replace(STATE, stages=(Stage(ME, 0, 9, True, 1, 1.5),)), SIGNER).data[:-64], 8192
    )
    state[-1][0] += ["CPU", "later"]
    state += ["", [[ME, "gpu", 60, "it died", "later"]]]
    fact = passed_on(signed_bytes(state), 3).fact
    assert fact.stages == (Stage(ME, 0, 9, True, 1, 1.5, "CPU"),)
    assert fact.quarantines == (Quarantine(ME, "gpu", 60, "it died"),)


@pytest.mark.parametrize("fact", [STATE, WISH], ids=lambda fact: type(fact).__name__)
def test_what_a_later_version_lets_grow_moves_no_fact_to_another_place(fact: Fact) -> None:
    """That version holds it in the place of its name, whatever other fields say."""
    first = codec.unpack(sign(fact, SIGNER).data[:-64], MAX_FACT)
    later = [field.name for field in fields(fact)][len(first) - 1 : -1]
    grown = ["second" if name == "name" else ["beyond its bound"] for name in later]
    assert decode(signed_bytes([*first, *grown])).fact.place == b"second"


@pytest.mark.parametrize("rest", [[[]], [["1"], 2], [["a"], b""]], ids=str)
def test_a_word_on_the_engine_that_is_not_understood_is_kept_and_passed_on(rest: Any) -> None:
    fact = passed_on(signed_bytes([PoolEngine.kind, POOL, ME, [1], b"", *rest]), 3).fact
    assert (type(fact), fact.kind, fact.version) == (LaterFact, PoolEngine.kind, (1,))


@pytest.mark.parametrize("kind", [0, -1, 9.0, True, "10", b"", 256, 2**40])
def test_what_is_no_kind_of_fact_is_refused(kind: object) -> None:
    with pytest.raises(DecodeError):
        decode(signed_bytes([kind, POOL, ME, [1], b""]))


# --- signing for members of version 2


@pytest.mark.parametrize(
    "fact",
    [
        Voucher(POOL, ME, 1, bytes(16), SIGNER.public_key, ALL_RIGHTS | Rights.NO_ASK),
        replace(WISH, options=(("mmap", "off"),)),
        replace(WISH, second=MODEL),
        replace(WISH, name="second"),
        replace(STATE, name="second"),
        PoolEngine(POOL, ME, (1,), b"", "b1", bytes(32)),
        Liveness(POOL, ME, 1, 1, unknown=codec.pack(["later"])),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_what_version_2_cannot_say_is_not_signed_for_it(fact: Fact) -> None:
    with pytest.raises(MeshError, match="wire version 2") as refusal:
        sign(fact, SIGNER, 2)
    assert not isinstance(refusal.value, DecodeError)
    assert decode(sign(fact, SIGNER, 3).data).fact == fact


@given(ANY_FACTS)
def test_what_is_signed_for_version_2_is_read_by_it(fact: Fact) -> None:
    if isinstance(fact, Record | PoolState) and not fact.place:
        signed = sign(fact, SIGNER, 2)
        assert signed.is_closed
        assert (signed.fact == fact) is not _says_more(fact)
        assert (signed.fact.version, signed.fact.author) == (fact.version, fact.author)
    elif not _says_more(fact):
        assert sign(fact, SIGNER, 2).is_closed


def test_a_record_for_version_2_is_cut_to_its_fields() -> None:
    record = Record(
        POOL, ME, 1, bytes(8), 1, False, replace(PROFILE, build="1.2", devices=(OfferedDevice(),))
    )
    assert sign(record, SIGNER, 2).fact == replace(record, profile=PROFILE)
    state = replace(STATE, quarantines=(Quarantine(ME, "", 60, "slow"),))
    assert sign(state, SIGNER, 2).fact == STATE


# --- bounds


def _record(profile: Profile) -> Record:
    return Record(POOL, ME, 1, bytes(8), 1, False, profile)


def _model(name: str) -> Model:
    return Model(name, 1, bytes(32))


def _device(**fields: Any) -> Record:
    return _record(Profile(devices=(OfferedDevice(**fields),)))


def _quarantine(device: str, reason: str) -> PoolState:
    return replace(STATE, quarantines=(Quarantine(ME, device, 1, reason),))


BOUNDS: list[tuple[Fact, Fact]] = [
    (_record(Profile(build="b" * 40)), _record(Profile(build="b" * 41))),
    (_record(Profile(devices=(OfferedDevice(),) * 8)), _record(Profile(devices=(OfferedDevice(),) * 9))),
    (_device(kind="k" * 16), _device(kind="k" * 17)),
    (_device(name="n" * 24), _device(name="n" * 25)),
    (_device(memory_total=codec.MAX_UINT), _device(memory_total=codec.MAX_UINT + 1)),
    (_device(slope=1e300), _device(slope=float("inf"))),
    (replace(WISH, name="n" * 48), replace(WISH, name="n" * 49)),
    (
        replace(WISH, options=tuple((f"{n:02}", "") for n in range(MAX_OPTIONS))),
        replace(WISH, options=tuple((f"{n:02}", "") for n in range(MAX_OPTIONS + 1))),
    ),
    (replace(WISH, options=(("k" * 24, "v" * 64),)), replace(WISH, options=(("k" * 25, "v"),))),
    (replace(WISH, options=(("a", ""), ("b", ""))), replace(WISH, options=(("b", ""), ("a", "")))),
    (replace(WISH, options=(("a", ""),)), replace(WISH, options=(("a", ""), ("a", "")))),
    (replace(WISH, second=_model("s" * 96)), replace(WISH, second=_model("s" * 97))),
    (replace(STATE, name="n" * 48), replace(STATE, name="n" * 49)),
    (
        replace(STATE, quarantines=(Quarantine(ME, "", 1, ""),) * MAX_QUARANTINES),
        replace(STATE, quarantines=(Quarantine(ME, "", 1, ""),) * (MAX_QUARANTINES + 1)),
    ),
    (_quarantine("d" * 24, "r" * 96), _quarantine("d" * 25, "")),
    (_quarantine("", "r" * 96), _quarantine("", "r" * 97)),
    (PoolEngine(POOL, ME, (1,), b"", "r" * 40, bytes(32)), PoolEngine(POOL, ME, (1,), b"", "r" * 41, b"")),
    (PoolEngine(POOL, ME, (1,), b"", "", bytes(32)), PoolEngine(POOL, ME, (1,), b"", "", bytes(33))),
    (PoolEngine(POOL, ME, (1,), b"", "", b""), PoolEngine(POOL, ME, (1, 2), b"", "", b"")),
    (
        Voucher(POOL, ME, 1, bytes(16), SIGNER.public_key, Rights(255)),
        Voucher(POOL, ME, 1, bytes(16), SIGNER.public_key, Rights(256)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("within", "beyond"), BOUNDS)
def test_a_new_field_is_signed_up_to_its_bound_and_no_further(within: Fact, beyond: Fact) -> None:
    assert decode(sign(within, SIGNER).data).fact == within
    with pytest.raises(DecodeError):
        sign(beyond, SIGNER)


def _wordy(version: int, characters: int) -> Record:
    """A record with so many characters in the names of its models."""
    lengths = [min(96, max(0, characters - 96 * n)) for n in range(8)]
    devices = (OfferedDevice("k" * 16, "n" * 24, 2**40, 2**40, 1.5, 1.5, 1.5, 1.5),) * 8 * (version - 2)
    models = tuple(Model("m" * length, 1, bytes(32)) for length in lengths)
    return _record(replace(PROFILE, models=models, devices=devices, engine_reason="r" * 120))


@pytest.mark.parametrize("version", [2, 3])
def test_a_record_has_room_for_1_kb_in_version_2_and_for_2_from_then_on(version: int) -> None:
    sizes = [_size(_wordy(version, characters), version) for characters in range(96 * 8)]
    assert sizes[-1] is None
    assert max_record(version) - 2 <= max(size or 0 for size in sizes) <= max_record(version)


def _size(fact: Fact, version: int) -> int | None:
    """How many bytes the signed fact has; None where it may not be signed."""
    try:
        return len(sign(fact, SIGNER, version).data)
    except DecodeError:
        return None


@pytest.mark.parametrize(
    "act",
    [
        Voucher(POOL, ME, 1, bytes(16), SIGNER.public_key, ALL_RIGHTS),
        Eviction(POOL, ME, 1, bytes(16), ME, 0, bytes(16)),
    ],
    ids=lambda act: type(act).__name__,
)
def test_an_act_has_room_for_later_fields_in_a_datagram(act: Fact) -> None:
    """All members keep all acts, and an owner may say thousands: the disk has room for those of 1 KiB."""
    array = codec.unpack(sign(act, SIGNER).data[:-64], MAX_FACT)
    room = MAX_ACT - len(signed_bytes([*array, bytes(300)])) + 300
    data = signed_bytes([*array, bytes(room)])
    assert len(data) == MAX_ACT
    assert decode(data).data == data
    assert len(encode(Bodies((data,)))) <= MAX_BODY
    with pytest.raises(DecodeError):
        decode(signed_bytes([*array, bytes(room + 1)]))


@pytest.mark.parametrize(
    ("fact", "most"),
    [
        (Claim(POOL, ME, codec.MAX_UINT, codec.MAX_UINT), MAX_BRIEF),
        (Resignation(POOL, ME, codec.MAX_UINT, ME), MAX_BRIEF),
        (Liveness(POOL, ME, codec.MAX_UINT, codec.MAX_UINT), MAX_BRIEF),
        (Suspicion(POOL, ME, ME, codec.MAX_UINT, codec.MAX_UINT), MAX_BRIEF),
        (PoolEngine(POOL, ME, (1,), b"", "b1", bytes(32)), MAX_LATER),
    ],
    ids=lambda value: type(value).__name__,
)
def test_facts_that_messages_carry_and_later_kinds_have_bounds_of_their_own(fact: Fact, most: int) -> None:
    """A request for a lease holds a claim and a resignation, whoever signed them, and is a datagram."""
    array = codec.unpack(sign(fact, SIGNER).data[:-64], MAX_FACT)
    room = most - len(signed_bytes([*array, bytes(300)])) + 300
    data = signed_bytes([*array, bytes(room)])
    assert len(data) in (most - 1, most)
    assert decode(data).data == data
    with pytest.raises(DecodeError):
        decode(signed_bytes([*array, bytes(room + 2)]))
    own = sign(Claim(POOL, ME, codec.MAX_UINT, codec.MAX_UINT), SIGNER).data
    request = LeaseRequest(ME, codec.MAX_UINT, codec.MAX_UINT, own, bytes(MAX_BRIEF))
    assert len(encode(request)) <= MAX_BODY


def test_each_fact_fits_with_all_of_its_fields_at_their_bounds() -> None:
    top, model = codec.MAX_UINT, Model("m" * 96, codec.MAX_UINT, bytes(32))
    state = PoolState(
        POOL, ME, top, top, top, "p" * 16, 1.5, "r" * 200, 1.5,
        (Stage(ME, top, top, True, top, 1.5),) * 64,
        "n" * 48,
        (Quarantine(ME, "d" * 24, top, "r" * 96),) * 16,
    )  # fmt: skip
    wish = Deployment(
        POOL, ME, top, model, top, top, True, ((ME, top),) * 128, 64,
        "n" * 48, tuple((f"{n:024}", "v" * 64) for n in range(16)), model,
    )  # fmt: skip
    sizes = [len(sign(fact, SIGNER).data) for fact in (state, wish)]
    assert [size <= MAX_FACT - 1024 for size in sizes] == [True, True], sizes
    for beyond in (replace(state, stages=state.stages * 2), replace(wish, layers=wish.layers * 2)):
        with pytest.raises(DecodeError):
            sign(beyond, SIGNER)

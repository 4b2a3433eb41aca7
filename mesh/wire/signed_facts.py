"""Facts as signed bytes: the form of each by wire version, signing, and reading.

A signed fact is its canonical body followed by the author's signature (64 bytes) over a domain prefix and
the body. Members keep and pass on those very bytes: each can verify a fact, whichever members it came
through, and whichever of its fields it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from mesh.wire import codec
from mesh.wire.codec import BOOL, FLOAT, UINT, Codec, fixed, growing, listed, paired, struct, text
from mesh.wire.errors import DecodeError, OlderFormError
from mesh.wire.facts import (
    FIRST_LATER_KIND,
    HASH_BYTES,
    MAX_COPIES,
    MAX_FIXED,
    MAX_STAGES,
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
from mesh.wire.identity import ID_BYTES, KEY_BYTES, SIGNATURE_BYTES, NodeId, Signer, Verifier
from mesh.wire.profile import MAX_DEVICE_NAME, MODEL, max_record, profile_codec
from mesh.wire.rights import Rights
from mesh.wire.versions import GROWING, SPOKEN

MAX_FACT = 8192
MAX_ACT = 1024
"""Bytes of a voucher or an eviction: members keep all for good, on the disk too; a datagram holds one."""
MAX_BRIEF = 512
"""Bytes of a fact that travels within a message of an election or a lease, or ahead of all others."""
MAX_LATER = 2048
"""Bytes of a fact of a kind from 10 on, which any member may sign where nobody can judge it."""
MAX_QUARANTINES = 16
MAX_QUARANTINE_REASON = 96
MAX_OPTIONS = 16
MAX_DEPLOYMENT_NAME = 48
_LAST_KIND = 255
_KEPT_BYTES = 1024
_DOMAIN = b"mesh fact 1\0"
_CUT = (Record.kind, PoolState.kind)
"""Kinds that the older form may cut short: their authors sign them again all the time."""

F = TypeVar("F", bound=Fact)


def _bounded(lowest: int, highest: int, what: str) -> Codec:
    def load(value: Any) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise DecodeError(f"{what} is out of its range")
        return value

    return Codec(UINT.dump, load)


def _rights(highest: int) -> Codec:
    bits = _bounded(0, highest, "A set of rights")
    return Codec(lambda rights: rights.value, lambda value: Rights(bits.load(value)))


def _load_options(value: Any) -> tuple[tuple[str, str], ...]:
    options: tuple[tuple[str, str], ...] = _PAIRS.load(value)
    keys = [key for key, _ in options]
    if keys != sorted(set(keys)):
        raise DecodeError("Options are not sorted, or one is given twice")
    return options


_ID = fixed(ID_BYTES)
_HASH = fixed(HASH_BYTES)
_COPIES = _bounded(1, MAX_COPIES, "A number of copies")
_KIND = _bounded(FIRST_LATER_KIND, _LAST_KIND, "The kind of a fact")
_LAYERS = listed(paired(_ID, UINT), MAX_FIXED)
_PAIRS = listed(paired(text(24), text(64)), MAX_OPTIONS)
_OPTIONS = Codec(_PAIRS.dump, _load_options)
_NAME = text(MAX_DEPLOYMENT_NAME)
_ACT = (_ID, _ID, UINT, _HASH)
_DEPLOYMENT = (_ID, _ID, UINT, MODEL, UINT, UINT, BOOL, _LAYERS, _COPIES)
_STATE = (_ID, _ID, UINT, UINT, UINT, text(16), FLOAT, text(200), FLOAT)
_STAGE = (_ID, UINT, UINT, BOOL, UINT, FLOAT)
_QUARANTINE = (_ID, text(MAX_DEVICE_NAME), UINT, text(MAX_QUARANTINE_REASON))
_LATER = (_ID, _ID, listed(UINT, 3), codec.blob(32))

CLOSED_FORM: dict[int, Codec] = {
    Voucher.kind: struct(Voucher, *_ACT, fixed(KEY_BYTES), _rights(7)),
    Eviction.kind: struct(Eviction, *_ACT, _ID, UINT, _HASH),
    Record.kind: struct(Record, _ID, _ID, UINT, fixed(8), UINT, BOOL, profile_codec(2)),
    Claim.kind: struct(Claim, _ID, _ID, UINT, UINT),
    Resignation.kind: struct(Resignation, _ID, _ID, UINT, _ID),
    Deployment.kind: struct(Deployment, *_DEPLOYMENT),
    PoolState.kind: struct(PoolState, *_STATE, listed(struct(Stage, *_STAGE), MAX_STAGES)),
    Liveness.kind: struct(Liveness, _ID, _ID, UINT, UINT, BOOL),
    Suspicion.kind: struct(Suspicion, _ID, _ID, _ID, UINT, UINT, BOOL),
}
"""The form of each fact in version 2, which reads exactly these fields."""

GROWING_FORM: dict[int, Codec] = {
    Voucher.kind: growing(Voucher, *_ACT, fixed(KEY_BYTES), _rights(255)),
    Eviction.kind: growing(Eviction, *_ACT, _ID, UINT, _HASH),
    Record.kind: growing(Record, _ID, _ID, UINT, fixed(8), UINT, BOOL, profile_codec(3)),
    Claim.kind: growing(Claim, _ID, _ID, UINT, UINT),
    Resignation.kind: growing(Resignation, _ID, _ID, UINT, _ID),
    Deployment.kind: growing(Deployment, *_DEPLOYMENT, later=(_NAME, _OPTIONS, codec.optional(MODEL))),
    PoolState.kind: growing(
        PoolState,
        *_STATE,
        listed(growing(Stage, *_STAGE, later=(text(MAX_DEVICE_NAME),)), MAX_STAGES),
        later=(_NAME, listed(growing(Quarantine, *_QUARANTINE), MAX_QUARANTINES)),
    ),
    Liveness.kind: growing(Liveness, _ID, _ID, UINT, UINT, BOOL),
    Suspicion.kind: growing(Suspicion, _ID, _ID, _ID, UINT, UINT, BOOL),
    PoolEngine.kind: growing(PoolEngine, _ID, _ID, paired(UINT), fixed(0), text(40), codec.blob(32)),
}
"""The form of each fact from version 3 on: fields are added at the end, as ``later`` ones."""

_LATER_FACT = growing(LaterFact, _KIND, *_LATER)


def place_key(kind: int, author: NodeId, place: bytes = b"") -> bytes:
    """8 bytes that name the place where versions of one fact replace each other."""
    return blake2b(bytes([kind]) + author + place, digest_size=8, person=b"mesh fact key").digest()


@dataclass(frozen=True)
class Signed(Generic[F]):
    """A fact together with the bytes that were signed for it."""

    fact: F
    data: bytes

    def proven_by(self, key: bytes, verifier: Verifier) -> bool:
        """Whether the holder of ``key`` signed it; the caller has to know that the key is the author's."""
        return verifier(key, _DOMAIN + self.data[:-SIGNATURE_BYTES], self.data[-SIGNATURE_BYTES:])

    @cached_property
    def key(self) -> bytes:
        """8 bytes that name the fact's place among all facts."""
        return place_key(self.fact.kind, self.fact.author, self.fact.place)

    @cached_property
    def hash(self) -> bytes:
        """16 bytes that name these very bytes; the author's next act has them as ``previous``."""
        return blake2b(self.data, digest_size=HASH_BYTES, person=b"mesh fact hash").digest()

    @cached_property
    def is_closed(self) -> bool:
        """Whether a member of version 2 can read it."""
        try:
            decode(self.data, GROWING - 1)
        except DecodeError:
            return False
        return True


def sign(fact: F, signer: Signer, version: int = SPOKEN.newest) -> Signed[F]:
    """Make the fact's signed bytes, for members that read this wire version or a later one.

    For version 2 records and pool states are cut to the fields that it has. Raises OlderFormError for
    any other fact that says more, and DecodeError for one that breaks the bounds that readers check.
    """
    body = _body(fact, GROWING_FORM)
    if version < GROWING:
        body = _closed_body(fact, body)
    said: Signed[F] = _read(body + bytes(SIGNATURE_BYTES), version)
    if version >= GROWING and said.fact != fact:
        raise DecodeError("Not within the bounds of its fields")
    return Signed(said.fact, body + signer.sign(_DOMAIN + body))


def _closed_body(fact: Fact, body: bytes) -> bytes:
    """What version 2 reads of a fact: its very body, or that of a record or a state without later fields."""
    if fact.kind in _CUT and fact.place == b"":
        return _body(fact, CLOSED_FORM)
    try:
        _read(body + bytes(SIGNATURE_BYTES), GROWING - 1)
    except DecodeError as problem:
        if _read(body + bytes(SIGNATURE_BYTES), GROWING).fact != fact:
            raise
        raise OlderFormError(
            "A member of this pool speaks wire version 2 and cannot read this",
            "upgrade it, or wait until it has left: `mesh members`",
        ) from problem
    return body


def _body(fact: Fact, form: Mapping[int, Codec]) -> bytes:
    return codec.pack([fact.kind, *form[fact.kind].dump(fact)])


def decode(data: bytes, version: int = SPOKEN.newest) -> Signed[Any]:
    """Read signed bytes as a program of this version does, without checking the signature.

    Raises DecodeError. The same bytes come from many members, so a cache keeps the last ones read: not the
    large ones, which are few, so that it never has more than some 32 MiB.
    """
    return _kept(data, version) if len(data) <= _KEPT_BYTES else _read(data, version)


def _read(data: bytes, version: int) -> Signed[Any]:
    if not SIGNATURE_BYTES < len(data) <= MAX_FACT:
        raise DecodeError("A fact of impossible length")
    fact = _load(codec.unpack(data[:-SIGNATURE_BYTES], MAX_FACT), version)
    if len(data) > _most_bytes(fact.kind, version):
        raise DecodeError(f"A {type(fact).__name__} of more than {_most_bytes(fact.kind, version)} bytes")
    return Signed(fact, data)


def _most_bytes(kind: int, version: int) -> int:
    if kind == Record.kind:
        return max_record(version)
    return MAX_LATER if kind >= FIRST_LATER_KIND else _BRIEFER.get(kind, MAX_FACT)


_BRIEFER = {
    **dict.fromkeys((Voucher.kind, Eviction.kind), MAX_ACT),
    **dict.fromkeys((Claim.kind, Resignation.kind, Liveness.kind, Suspicion.kind), MAX_BRIEF),
}

_kept = lru_cache(maxsize=4096)(_read)


def _load(array: list[Any], version: int) -> Fact:
    kind = array[0] if array and type(array[0]) is int else 0
    is_later = kind >= FIRST_LATER_KIND and version >= GROWING
    shape = (CLOSED_FORM if version < GROWING else GROWING_FORM).get(kind)
    if shape is None and not is_later:
        raise DecodeError("A fact of an unknown kind")
    fact: Fact
    if shape is not None:
        try:
            fact = shape.load(array[1:])
            return fact
        except DecodeError:
            if not is_later:
                raise
    fact = _LATER_FACT.load(array)
    return fact

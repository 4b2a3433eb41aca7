"""The facts that a pool shares: what each says, its author, and its form as signed bytes.

A signed fact is its canonical body followed by the author's signature (64 bytes) over a domain prefix and
the body. Members keep and pass on those very bytes: each can verify a fact, whichever members it came
through.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, ClassVar, Generic, TypeVar

from mesh.wire import codec
from mesh.wire.codec import BOOL, FLOAT, UINT, Codec, fixed, listed, paired, struct, text
from mesh.wire.errors import DecodeError
from mesh.wire.identity import (
    ID_BYTES,
    KEY_BYTES,
    SIGNATURE_BYTES,
    NodeId,
    PoolId,
    Signer,
    Verifier,
)
from mesh.wire.profile import MAX_MODELS as MAX_MODELS
from mesh.wire.profile import MAX_NAME as MAX_NAME
from mesh.wire.profile import MAX_RECORD as MAX_RECORD
from mesh.wire.profile import MODEL, PROFILE
from mesh.wire.profile import Model as Model
from mesh.wire.profile import Profile as Profile
from mesh.wire.profile import fitted as fitted
from mesh.wire.rights import Rights

MAX_FACT = 8192
MAX_STAGES = 128
DEFAULT_COPIES = 2
"""One copy to serve from, and one for when its holder goes."""

MAX_COPIES = 64
HASH_BYTES = 16
NO_PREVIOUS = bytes(HASH_BYTES)
NOBODY = NodeId(bytes(ID_BYTES))
_DOMAIN = b"mesh fact 1\0"

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Voucher:
    """``author`` vouches for the holder of ``key``. The founder vouches for itself with act number 1.

    ``number`` counts the author's acts, vouchers and evictions; ``previous`` is the hash of the one before:
    an owner's acts are a chain. Acts never replace each other: after a state rollback an owner may give two
    acts one number, and both are kept.
    """

    kind: ClassVar[int] = 1
    pool: PoolId
    author: NodeId
    number: int
    previous: bytes
    key: bytes
    rights: Rights

    @property
    def version(self) -> Version:
        return (self.number,)

    @property
    def place(self) -> bytes:
        return b"".join((self.number.to_bytes(8, "big"), self.previous, self.key, bytes([self.rights.value])))


@dataclass(frozen=True, slots=True)
class Eviction:
    """``subject`` is out for ever; its own acts stay valid up to (``last``, ``last_hash``).

    ``last`` 0 with the hash NO_PREVIOUS: none of them.
    """

    kind: ClassVar[int] = 2
    pool: PoolId
    author: NodeId
    number: int
    previous: bytes
    subject: NodeId
    last: int
    last_hash: bytes

    @property
    def version(self) -> Version:
        return (self.number,)

    @property
    def place(self) -> bytes:
        numbers = self.number.to_bytes(8, "big") + self.last.to_bytes(8, "big")
        return b"".join((numbers, self.previous, self.subject, self.last_hash))


@dataclass(frozen=True, slots=True)
class Record:
    """A member's description of itself; ``nonce`` (8 random bytes) tells one start from another."""

    kind: ClassVar[int] = 3
    pool: PoolId
    author: NodeId
    generation: int
    nonce: bytes
    sequence: int
    left: bool
    profile: Profile

    @property
    def version(self) -> Version:
        return (self.generation, self.sequence)

    @property
    def place(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Claim:
    """``author`` claims to lead; immutable, one claim for each (term, author)."""

    kind: ClassVar[int] = 4
    pool: PoolId
    author: NodeId
    term: int
    rank: int

    @property
    def version(self) -> Version:
        return (self.term,)

    @property
    def place(self) -> bytes:
        return b""

    @property
    def order(self) -> tuple[int, int, bytes]:
        """Claims compare by term, then rank, then id."""
        return (self.term, self.rank, self.author)


@dataclass(frozen=True, slots=True)
class Resignation:
    """``author`` gives up its claims up to ``term`` and their leases; ``successor`` may be NOBODY."""

    kind: ClassVar[int] = 5
    pool: PoolId
    author: NodeId
    term: int
    successor: NodeId

    @property
    def version(self) -> Version:
        return (self.term, int(self.successor != NOBODY))

    @property
    def place(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Deployment:
    """An owner's word on what the pool runs. ``layers`` fixes how many layers some members hold.

    Members that may lead keep so many ``copies`` of the model's file. ``number`` is the highest seen in the
    pool plus one. A deployment is no act of the author's chain: a later one replaces it, and it goes when its
    author does.
    """

    kind: ClassVar[int] = 6
    pool: PoolId
    author: NodeId
    number: int
    model: Model
    context: int
    slots: int
    running: bool
    layers: tuple[tuple[NodeId, int], ...] = ()
    copies: int = DEFAULT_COPIES

    @property
    def version(self) -> Version:
        return (self.number,)

    @property
    def place(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers ``first`` to ``last`` (inclusive, from 0) on a member; their bytes and milliseconds a token.

    A stage with the head alone has no layers: its ``last`` is less than its ``first``.
    """

    member: NodeId
    first: int
    last: int
    head: bool
    bytes: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class PoolState:
    """The leader of ``term`` says how the deployment of that number goes.

    ``tokens_per_second`` as predicted.
    """

    kind: ClassVar[int] = 7
    pool: PoolId
    author: NodeId
    term: int
    sequence: int
    deployment: int
    phase: str
    progress: float
    reason: str
    tokens_per_second: float
    stages: tuple[Stage, ...]

    @property
    def version(self) -> Version:
        return (self.term, self.sequence)

    @property
    def place(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Liveness:
    """``author`` lives, suspected or not, in this generation and incarnation.

    Not ``stable``: its flap detection found that others cannot reach it well. It lives, but is quarantined:
    the others hold it dead.
    """

    kind: ClassVar[int] = 8
    pool: PoolId
    author: NodeId
    generation: int
    incarnation: int
    stable: bool = True

    @property
    def version(self) -> Version:
        return (self.generation, self.incarnation)

    @property
    def place(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """``author`` got no answer from ``subject``, which was at this liveness (SWIM).

    ``refused``: the machine refused the port, so a member that hears this can check at once by a probe.
    """

    kind: ClassVar[int] = 9
    pool: PoolId
    author: NodeId
    subject: NodeId
    generation: int
    incarnation: int
    refused: bool = False

    @property
    def version(self) -> Version:
        return (self.generation, self.incarnation)

    @property
    def place(self) -> bytes:
        return self.subject


Fact = Voucher | Eviction | Record | Claim | Resignation | Deployment | PoolState | Liveness | Suspicion
F = TypeVar("F", bound=Fact)


def _load_rights(value: Any) -> Rights:
    if type(value) is not int or not 0 <= value <= 7:
        raise DecodeError("Unknown rights")
    return Rights(value)


def _load_copies(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_COPIES:
        raise DecodeError("A number of copies is out of its range")
    return value


_ID = fixed(ID_BYTES)
_HASH = fixed(HASH_BYTES)
_RIGHTS = Codec(lambda rights: rights.value, _load_rights)
_COPIES = Codec(UINT.dump, _load_copies)
_STAGE = struct(Stage, _ID, UINT, UINT, BOOL, UINT, FLOAT)
_LAYERS = listed(paired(_ID, UINT), MAX_STAGES)

_CODECS: dict[int, Codec] = {
    Voucher.kind: struct(Voucher, _ID, _ID, UINT, _HASH, fixed(KEY_BYTES), _RIGHTS),
    Eviction.kind: struct(Eviction, _ID, _ID, UINT, _HASH, _ID, UINT, _HASH),
    Record.kind: struct(Record, _ID, _ID, UINT, fixed(8), UINT, BOOL, PROFILE),
    Claim.kind: struct(Claim, _ID, _ID, UINT, UINT),
    Resignation.kind: struct(Resignation, _ID, _ID, UINT, _ID),
    Deployment.kind: struct(Deployment, _ID, _ID, UINT, MODEL, UINT, UINT, BOOL, _LAYERS, _COPIES),
    PoolState.kind: struct(
        PoolState, _ID, _ID, UINT, UINT, UINT, text(16), FLOAT, text(200), FLOAT, listed(_STAGE, MAX_STAGES)
    ),
    Liveness.kind: struct(Liveness, _ID, _ID, UINT, UINT, BOOL),
    Suspicion.kind: struct(Suspicion, _ID, _ID, _ID, UINT, UINT, BOOL),
}  # fmt: skip


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


def sign(fact: F, signer: Signer) -> Signed[F]:
    """Make the fact's signed bytes; raises DecodeError when it breaks the bounds that receivers check."""
    shape = _CODECS[fact.kind]
    body = codec.pack([fact.kind, *shape.dump(fact)])
    shape.load(codec.unpack(body, MAX_FACT)[1:])
    return Signed(fact, body + signer.sign(_DOMAIN + body))


@lru_cache(maxsize=4096)
def decode(data: bytes) -> Signed[Any]:
    """Read signed bytes without checking the signature (see ``proven_by``). Raises DecodeError.

    The same bytes come from many members, so a cache keeps the last ones read (at most 32 MiB; some 2 MiB of
    the usual kind).
    """
    if not SIGNATURE_BYTES < len(data) <= MAX_FACT:
        raise DecodeError("A fact of impossible length")
    array = codec.unpack(data[:-SIGNATURE_BYTES], MAX_FACT)
    shape = _CODECS.get(array[0]) if array and type(array[0]) is int else None
    if shape is None:
        raise DecodeError("A fact of an unknown kind")
    fact = shape.load(array[1:])
    if fact.kind == Record.kind and len(data) > MAX_RECORD:
        raise DecodeError(f"A record of more than {MAX_RECORD} bytes")
    return Signed(fact, data)

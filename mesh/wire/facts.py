"""The facts that a pool shares: what each says, who its author is, and how its versions replace each other.

Facts grow: a later version of the program appends fields to them. ``unknown`` holds those that this one does
not know, as packed bytes, for whoever writes such a fact again. How facts become bytes is in
`mesh.wire.signed_facts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.wire.identity import ID_BYTES, NodeId, PoolId
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import Rights
from mesh.wire.versions import Versions, spoken_by

MAX_STAGES = 64
MAX_FIXED = 128
FIRST_LATER_KIND = 10
"""Kinds from this one on are kept and passed on by members that do not know them."""

DEFAULT_COPIES = 2
"""One copy to serve from, and one for when its holder goes."""

MAX_COPIES = 64
HASH_BYTES = 16
NO_PREVIOUS = bytes(HASH_BYTES)
NOBODY = NodeId(bytes(ID_BYTES))

Version = tuple[int, ...]
DeploymentOptions = tuple[tuple[str, str], ...]


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
    unknown: bytes = b""

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
    unknown: bytes = b""

    @property
    def version(self) -> Version:
        return (self.number,)

    @property
    def place(self) -> bytes:
        numbers = self.number.to_bytes(8, "big") + self.last.to_bytes(8, "big")
        return b"".join((numbers, self.previous, self.subject, self.last_hash))


@dataclass(frozen=True, slots=True)
class Record:
    """A member's description of itself; ``nonce`` (8 bytes) tells one start from another.

    The nonce also says which wire versions its author speaks (`mesh.wire.versions.marked`).
    """

    kind: ClassVar[int] = 3
    pool: PoolId
    author: NodeId
    generation: int
    nonce: bytes
    sequence: int
    left: bool
    profile: Profile
    unknown: bytes = b""

    @property
    def version(self) -> Version:
        return (self.generation, self.sequence)

    @property
    def place(self) -> bytes:
        return b""

    @property
    def speaks(self) -> Versions:
        """The wire versions that the author's program speaks."""
        return spoken_by(self.nonce)


@dataclass(frozen=True, slots=True)
class Claim:
    """``author`` claims to lead; immutable, one claim for each (term, author)."""

    kind: ClassVar[int] = 4
    pool: PoolId
    author: NodeId
    term: int
    rank: int
    unknown: bytes = b""

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
    unknown: bytes = b""

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
    pool plus one. A deployment is no act of the author's chain: a later one of that ``name`` replaces it, and
    it goes when its author does. A pool runs one as yet, the one without a name.

    ``options``, sorted by key, are the engine's, and where the model comes from; whoever deploys again keeps
    those that it does not know. ``second`` is the file beside the model's, if any.
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
    name: str = ""
    options: DeploymentOptions = ()
    second: Model | None = None
    unknown: bytes = b""

    @property
    def version(self) -> Version:
        return (self.number,)

    @property
    def place(self) -> bytes:
        return self.name.encode()

    @property
    def held(self) -> tuple[Model, ...]:
        """What a member has to hold to serve it: the model, and the file beside it."""
        return (self.model,) if self.second is None else (self.model, self.second)


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers ``first`` to ``last`` (inclusive, from 0) on a member; their bytes and milliseconds a token.

    A stage with the head alone has no layers: its ``last`` is less than its ``first``. ``device`` is the
    member's that holds them, empty for its only one.
    """

    member: NodeId
    first: int
    last: int
    head: bool
    bytes: int
    milliseconds: float
    device: str = ""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The plan leaves out a ``device`` of a member (empty: the whole member) for ``seconds`` more."""

    member: NodeId
    device: str
    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class PoolState:
    """The leader of ``term`` says how the deployment of that number and ``name`` goes.

    ``tokens_per_second`` as predicted. The name, which is the fact's place, comes before all that a later
    version may let grow: else a member that cannot read that would keep the state in another place.
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
    name: str = ""
    quarantines: tuple[Quarantine, ...] = ()
    unknown: bytes = b""

    @property
    def version(self) -> Version:
        return (self.term, self.sequence)

    @property
    def place(self) -> bytes:
        return self.name.encode()


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
    unknown: bytes = b""

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
    unknown: bytes = b""

    @property
    def version(self) -> Version:
        return (self.generation, self.incarnation)

    @property
    def place(self) -> bytes:
        return self.subject


@dataclass(frozen=True, slots=True)
class PoolEngine:
    """An owner's word on which llama.cpp the pool runs: its ``release``, and the digest of its source.

    ``version`` holds the highest number seen in the pool plus one. No release: whichever each member has.
    """

    kind: ClassVar[int] = 10
    pool: PoolId
    author: NodeId
    version: Version
    place: bytes
    release: str
    digest: bytes
    unknown: bytes = b""


@dataclass(frozen=True, slots=True)
class LaterFact:
    """A fact of a kind that a later version of the program knows: kept and passed on, never judged.

    Each kind from 10 on begins with these fields, so that a member can merge facts that it cannot read.
    """

    kind: int
    pool: PoolId
    author: NodeId
    version: Version
    place: bytes
    unknown: bytes = b""


Fact = (
    Voucher
    | Eviction
    | Record
    | Claim
    | Resignation
    | Deployment
    | PoolState
    | Liveness
    | Suspicion
    | PoolEngine
    | LaterFact
)

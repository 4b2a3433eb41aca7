"""The messages that members send each other in datagrams (and, when large, framed on a stream).

Every message is an immutable value; :func:`encode` makes the body of an envelope, :func:`decode` reads one
and raises DecodeError for bytes that are not exactly a message.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mesh.wire import codec
from mesh.wire.codec import BOOL, ENDPOINT, UINT, Codec, blob, fixed, growing, listed, struct, text
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError
from mesh.wire.identity import ID_BYTES, NodeId
from mesh.wire.immutable import value
from mesh.wire.rumours import KEY8, RUMOUR
from mesh.wire.rumours import Rumour as Rumour
from mesh.wire.signed_facts import MAX_DEPLOYMENT_NAME, MAX_FACT
from mesh.wire.versions import GROWING, SPOKEN

MAX_DATAGRAM = 1200
MAX_STREAMED = 256 * 1024
BUCKETS = 64
_MAX_ITEMS = 4096


@value
class Ping:
    """Do you live? ``summary`` is the set hash of the sender's facts; the rest is its own liveness (SWIM)."""

    kind: ClassVar[int] = 1
    token: int
    summary: bytes
    generation: int
    incarnation: int


@value
class Ack:
    """I live: the answer to the Ping of this token."""

    kind: ClassVar[int] = 2
    token: int
    summary: bytes
    generation: int
    incarnation: int


@value
class PingRequest:
    """Ping ``target`` for me with this token and hand me its answer (SWIM's ping-req)."""

    kind: ClassVar[int] = 3
    token: int
    target: NodeId
    endpoint: Endpoint


@value
class Relayed:
    """The target's Ack as it came: a whole datagram, signed by the target."""

    kind: ClassVar[int] = 4
    token: int
    datagram: bytes


@value
class Nack:
    """I live, but the target that you asked me to ping has not answered me yet (Lifeguard)."""

    kind: ClassVar[int] = 5
    token: int


@value
class Hello:
    """This chain of vouchers makes me a member. With ``answer`` the other introduces itself too."""

    kind: ClassVar[int] = 6
    answer: bool
    summary: bytes
    chain: tuple[bytes, ...]


@value
class Rumours:
    """I hold these new facts."""

    kind: ClassVar[int] = 7
    rumours: tuple[Rumour, ...]


@value
class Pull:
    """Send me the bodies of these facts."""

    kind: ClassVar[int] = 8
    keys: tuple[bytes, ...]


@value
class Bodies:
    """Facts, each as the bytes that its author signed."""

    kind: ClassVar[int] = 9
    facts: tuple[bytes, ...]


@value
class Buckets:
    """The set hash of each of the 64 buckets of my facts."""

    kind: ClassVar[int] = 10
    hashes: tuple[bytes, ...]


@value
class Contents:
    """All facts that I hold in these buckets."""

    kind: ClassVar[int] = 11
    buckets: tuple[int, ...]
    rumours: tuple[Rumour, ...]


@value
class VoteRequest:
    """I would claim ``term``: do you still hear a leader? (Ongaro's pre-vote.)"""

    kind: ClassVar[int] = 12
    term: int


@value
class Vote:
    """No, with the signed claim that is in force; or yes, with the highest known if its term is as high."""

    kind: ClassVar[int] = 13
    term: int
    yes: bool
    claim: bytes


@value
class LeaseRequest:
    """Grant this claim your lease for the deployment of that ``name``.

    ``release``: the predecessor's signed resignation.

    ``worker`` is the addressee: another node may live at the address now. ``generation`` is that of the
    asking process, of which the worker may not have heard yet.
    """

    kind: ClassVar[int] = 14
    worker: NodeId
    number: int
    generation: int
    claim: bytes
    release: bytes
    name: str = ""


@value
class LeaseGrant:
    """I grant the request of this number, under the claim of this term."""

    kind: ClassVar[int] = 15
    number: int
    term: int
    name: str = ""


@value
class LeaseRefusal:
    """I refuse for about ``wait`` milliseconds; ``claim`` is the signed claim that keeps me from it."""

    kind: ClassVar[int] = 16
    number: int
    wait: int
    claim: bytes
    name: str = ""


@value
class LeaseRelease:
    """I no longer need what I requested up to ``number`` under my claim of ``term``."""

    kind: ClassVar[int] = 17
    worker: NodeId
    number: int
    term: int
    name: str = ""


Message = (
    Ping
    | Ack
    | PingRequest
    | Relayed
    | Nack
    | Hello
    | Rumours
    | Pull
    | Bodies
    | Buckets
    | Contents
    | VoteRequest
    | Vote
    | LeaseRequest
    | LeaseGrant
    | LeaseRefusal
    | LeaseRelease
)

_ID = fixed(ID_BYTES)
_HASH8 = fixed(8)
_FACT = blob(MAX_FACT)
_RUMOURS = listed(RUMOUR, _MAX_ITEMS)
_NAME = text(MAX_DEPLOYMENT_NAME)
_SHAPES: tuple[tuple[type[Any], tuple[Codec, ...], tuple[Codec, ...]], ...] = (
    (Ping, (UINT, _HASH8, UINT, UINT), ()),
    (Ack, (UINT, _HASH8, UINT, UINT), ()),
    (PingRequest, (UINT, _ID, ENDPOINT), ()),
    (Relayed, (UINT, blob(MAX_DATAGRAM)), ()),
    (Nack, (UINT,), ()),
    (Hello, (BOOL, _HASH8, listed(_FACT, 8)), ()),
    (Rumours, (_RUMOURS,), ()),
    (Pull, (listed(fixed(KEY8), _MAX_ITEMS),), ()),
    (Bodies, (listed(_FACT, _MAX_ITEMS),), ()),
    (Buckets, (listed(_HASH8, BUCKETS),), ()),
    (Contents, (listed(UINT, BUCKETS), _RUMOURS), ()),
    (VoteRequest, (UINT,), ()),
    (Vote, (UINT, BOOL, _FACT), ()),
    (LeaseRequest, (_ID, UINT, UINT, _FACT, _FACT), (_NAME,)),
    (LeaseGrant, (UINT, UINT), (_NAME,)),
    (LeaseRefusal, (UINT, UINT, _FACT), (_NAME,)),
    (LeaseRelease, (_ID, UINT, UINT), (_NAME,)),
)
"""Each message with its fields of version 2, and those that were added later."""

_CLOSED = {cls.kind: struct(cls, *first) for cls, first, _ in _SHAPES}
_GROWING = {cls.kind: growing(cls, *first, later=later) for cls, first, later in _SHAPES}


def encode(message: Message) -> bytes:
    """The canonical bytes of a message."""
    return codec.pack((message.kind, *_GROWING[message.kind].dump(message)))


def decode(body: bytes, limit: int = MAX_STREAMED, version: int = SPOKEN.newest) -> Message:
    """Read a message of at most ``limit`` bytes as a program of this version does; raises DecodeError."""
    array = codec.unpack(body, limit)
    shapes = _CLOSED if version < GROWING else _GROWING
    shape = shapes.get(array[0]) if array and type(array[0]) is int else None
    if shape is None:
        raise DecodeError("A message of an unknown kind")
    message: Any = shape.load(array[1:])
    return message  # type: ignore[no-any-return]

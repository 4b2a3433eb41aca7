"""The datagram: version (1 byte), pool (16), sender (16), number (8), body, the signature over all that (64).

This layout is the same for all versions from 2 on, so that a node can tell who speaks one that it does not
know. The version is the oldest that the sender speaks: whoever speaks that or the next one can read it.

A sender numbers its datagrams upwards, over restarts too, so that a receiver recognises those that it has
seen. The signature also covers the recipient's id, which does not travel: to another node it proves nothing.
"""

from __future__ import annotations

from mesh.wire.errors import DecodeError
from mesh.wire.identity import ID_BYTES, SIGNATURE_BYTES, NodeId, PoolId, Signer, Verifier
from mesh.wire.immutable import value
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED
from mesh.wire.versions import GROWING, SPOKEN, Versions

_FIRST_VERSION = 2
_IDS = 1 + 2 * ID_BYTES
_HEAD = _IDS + 8
OVERHEAD = _HEAD + SIGNATURE_BYTES
MAX_BODY = MAX_DATAGRAM - OVERHEAD
_DOMAIN = b"mesh datagram 1\0"
_COUNT_BITS = 40
_MAX_GENERATION = (1 << 23) - 1
_ADDRESSED = 1 << 63
NOBODY = NodeId(bytes(ID_BYTES))
"""The recipient of a datagram for any node: its sender does not know which node lives at the address."""


@value
class Envelope:
    """A parsed datagram; ``data`` is the datagram's bytes."""

    version: int
    pool: PoolId
    sender: NodeId
    number: int
    addressed: bool
    body: bytes
    data: bytes

    def proven_by(self, key: bytes, verifier: Verifier, to: NodeId) -> bool:
        """Whether the holder of ``key`` sent it, to ``to`` or to any node."""
        signed = _DOMAIN + self.data[:-SIGNATURE_BYTES] + (to if self.addressed else NOBODY)
        return verifier(key, signed, self.data[-SIGNATURE_BYTES:])

    @property
    def speaks(self) -> Versions:
        """What its sender speaks at most: a program speaks a version and the one before."""
        return Versions(self.version, self.version + 1)

    def is_read_by(self, speaks: Versions) -> bool:
        """Whether a program that speaks these versions can read the body; version 2 is strict."""
        if speaks.newest < GROWING:
            return self.version == speaks.newest
        return speaks.common(self.speaks) is not None


def first_number(generation: int) -> int:
    """The number that a sender counts up from in this run of its process: the generation times 2^40."""
    return min(generation, _MAX_GENERATION) << _COUNT_BITS


def run_of(number: int) -> int:
    """The generation that a sender had when it sent a datagram of this number."""
    return number >> _COUNT_BITS


def seal(
    pool: PoolId,
    sender: NodeId,
    number: int,
    body: bytes,
    signer: Signer,
    to: NodeId = NOBODY,
    speaks: Versions = SPOKEN,
) -> bytes:
    """Make a datagram's payload. The caller keeps the body within ``MAX_BODY``, or sends it over a stream."""
    if to != NOBODY:
        number |= _ADDRESSED
    head = b"".join((bytes([speaks.oldest]), pool, sender, number.to_bytes(8, "big"), body))
    return head + signer.sign(_DOMAIN + head + to)


def open_envelope(payload: bytes, limit: int = MAX_STREAMED) -> Envelope:
    """Parse a payload of at most ``limit`` bytes, of any version, without checking its signature.

    Raises DecodeError.
    """
    if not OVERHEAD < len(payload) <= limit:
        raise DecodeError("A datagram of impossible length")
    if payload[0] < _FIRST_VERSION:
        raise DecodeError(f"Version {payload[0]} of the protocol is not spoken any more")
    # PoolId and NodeId are left out here: each is a call, and this code runs for every datagram.
    pool, sender = payload[1 : 1 + ID_BYTES], payload[1 + ID_BYTES : _IDS]
    number, body = int.from_bytes(payload[_IDS:_HEAD], "big"), payload[_HEAD:-SIGNATURE_BYTES]
    addressed = number >= _ADDRESSED
    number &= _ADDRESSED - 1
    return Envelope(payload[0], pool, sender, number, addressed, body, payload)  # type: ignore[arg-type]

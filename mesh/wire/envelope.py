"""The datagram: version (1 byte), pool (16), sender (16), body, the sender's signature over all that (64)."""

from __future__ import annotations

from typing import NamedTuple

from mesh.wire.errors import DecodeError
from mesh.wire.identity import ID_BYTES, SIGNATURE_BYTES, NodeId, PoolId, Signer, Verifier
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED

WIRE_VERSION = 1
_HEAD = 1 + 2 * ID_BYTES
OVERHEAD = _HEAD + SIGNATURE_BYTES
MAX_BODY = MAX_DATAGRAM - OVERHEAD
_DOMAIN = b"mesh datagram 1\0"


class Envelope(NamedTuple):
    """A datagram taken apart; ``data`` are its very bytes."""

    pool: PoolId
    sender: NodeId
    body: bytes
    data: bytes

    def proven_by(self, key: bytes, verifier: Verifier) -> bool:
        """Whether the holder of ``key`` sent it."""
        return verifier(key, _DOMAIN + self.data[:-SIGNATURE_BYTES], self.data[-SIGNATURE_BYTES:])


def seal(pool: PoolId, sender: NodeId, body: bytes, signer: Signer) -> bytes:
    """Make a datagram's payload. The caller keeps the body within ``MAX_BODY`` or sends it over a stream."""
    head = bytes([WIRE_VERSION]) + pool + sender + body
    return head + signer.sign(_DOMAIN + head)


def open_envelope(payload: bytes, limit: int = MAX_STREAMED) -> Envelope:
    """Take a payload apart; the signature is not checked here. Raises DecodeError."""
    if not OVERHEAD < len(payload) <= limit:
        raise DecodeError("A datagram of impossible length")
    if payload[0] != WIRE_VERSION:
        raise DecodeError(f"Version {payload[0]} of the protocol is not spoken here")
    return Envelope(
        PoolId(payload[1 : 1 + ID_BYTES]),
        NodeId(payload[1 + ID_BYTES : _HEAD]),
        payload[_HEAD:-SIGNATURE_BYTES],
        payload,
    )

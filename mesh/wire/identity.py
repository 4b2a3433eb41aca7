"""A node's identity: an Ed25519 key. Its id is a hash of the public half, never an address or a host name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import NewType, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mesh.wire.errors import MeshError

NodeId = NewType("NodeId", bytes)
PoolId = NewType("PoolId", bytes)

ID_BYTES = 16
KEY_BYTES = 32
SIGNATURE_BYTES = 64


@lru_cache(maxsize=4096)
def node_id(public_key: bytes) -> NodeId:
    """The id (16 bytes) of the node that holds this key; cached, since callers ask for the same few keys."""
    return NodeId(blake2b(public_key, digest_size=ID_BYTES, person=b"mesh node id").digest())


def pool_id(founder_key: bytes) -> PoolId:
    """The id (16 bytes) of the pool that was founded with this key."""
    return PoolId(blake2b(founder_key, digest_size=ID_BYTES, person=b"mesh pool id").digest())


def id_text(id: bytes) -> str:
    """The id as people see it: 26 characters of lower-case base32."""
    return base64.b32encode(id).decode("ascii").rstrip("=").lower()


def parse_id(text: str) -> bytes:
    """The 16 bytes of an id that :func:`id_text` wrote; raises MeshError when the text is no id."""
    try:
        raw = base64.b32decode(text.strip().upper() + "======")
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != ID_BYTES or id_text(raw) != text.strip().lower():
        raise MeshError(f"{text!r} is not an id", "an id is 26 letters and digits, see `mesh members`")
    return raw


class Signer(Protocol):
    """Holds a private key and signs with it; signatures are 64 bytes."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


Verifier = Callable[[bytes, bytes, bytes], bool]
"""``(public_key, message, signature) -> bool``."""


class Identity:
    """An Ed25519 key pair (RFC 8032)."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Identity:
        """A new key from the operating system's random source."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """The key behind a seed of 32 bytes; raises MeshError on another length."""
        if len(seed) != KEY_BYTES:
            raise MeshError("The identity is damaged", f"its seed must have {KEY_BYTES} bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The secret 32 bytes to be stored; never logged."""
        return self._private.private_bytes_raw()

    @property
    def public_key(self) -> bytes:
        return self._public

    @property
    def id(self) -> NodeId:
        return node_id(self._public)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature of the message was made with the key's private half."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True

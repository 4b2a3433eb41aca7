"""Signatures that cost a hash instead of a curve: safe where no host forges, fast enough for many seeds.

A "key pair" is one number. Its public key determines its secret, so any host could forge; simulated liars
do not. Runs that must not rest on that use Ed25519 (``identity``).
"""

from __future__ import annotations

from hashlib import blake2b

from mesh.wire.identity import Identity, NodeId, node_id


class KeyedHash:
    """A signer whose signature is a keyed hash of the message."""

    def __init__(self, number: int) -> None:
        self._public = blake2b(number.to_bytes(8, "big"), digest_size=32, person=b"simulated key").digest()
        self.id: NodeId = node_id(self._public)

    @property
    def public_key(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return blake2b(message, key=self._public, digest_size=64).digest()


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The Verifier that belongs to :class:`KeyedHash`."""
    return blake2b(message, key=public_key, digest_size=64).digest() == signature


def identity(number: int) -> Identity:
    """An Ed25519 key that derives from a number; its Verifier is mesh.wire.identity.verify."""
    return Identity.from_seed(blake2b(number.to_bytes(8, "big"), digest_size=32, person=b"ed25519").digest())

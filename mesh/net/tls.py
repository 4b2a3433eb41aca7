"""TLS 1.3 in which a peer's identity is its node key, whatever its address.

Python's ssl has no hook for a verifier of its own. So the chain is laid out in such a way that OpenSSL's
rules mean what the mesh means:

* a node's **leaf** holds its node key, is named ``node:<id>``, says that ``mesh:<id>`` issued it, and is
  signed with the node key itself;
* a node that trusts another makes, for that node's public key, an **anchor** named ``mesh:<id>``, CA:TRUE,
  signed with the truster's own key. It is no root, but with X509_V_FLAG_PARTIAL_CHAIN a trusted certificate
  ends a chain.

A leaf verifies if, and only if, its issuer's key is that of an anchor. A member could still issue a leaf for
another key than its own. So after each handshake the leaf's own key counts, whose possession TLS has proved.

Certificates hold from 1970 to 9999: machines with wrong clocks connect all the same. Vouchers say which node
is a member, not dates.
"""

import contextlib
import os
import ssl
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mesh.wire.identity import Identity, NodeId, id_text, node_id

ALPN = "mesh/1"
"""The protocol that both ends must name; its number is the version of the stream preface."""

MAX_CLIENT_CONTEXTS = 64

_NOT_BEFORE = datetime(1970, 1, 1)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59)


class Credentials:
    """One node's certificate, and the trust anchors that it makes for others."""

    def __init__(self, identity: Identity) -> None:
        self.public_key = identity.public_key
        self.id = identity.id
        self._key = Ed25519PrivateKey.from_private_bytes(identity.seed)
        leaf = _certificate(
            subject=f"node:{id_text(self.id)}",
            issuer=f"mesh:{id_text(self.id)}",
            public_key=self._key.public_key(),
            signed_by=self._key,
            authority=False,
        )
        self._leaf = leaf.public_bytes(Encoding.PEM)

    def anchor(self, public_key: bytes) -> bytes:
        """The DER certificate by which this node trusts the holder of ``public_key``."""
        text = id_text(node_id(public_key))
        return _certificate(
            subject=f"mesh:{text}",
            issuer=f"observer:{id_text(self.id)}",
            public_key=Ed25519PublicKey.from_public_bytes(public_key),
            signed_by=self._key,
            authority=True,
        ).public_bytes(Encoding.DER)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give ``context`` this node's certificate and key."""
        secret = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with _readable(self._leaf) as certificate, _readable(secret) as key:
            context.load_cert_chain(certificate, key)


class ServerTrust:
    """The server's context, which follows the pool's membership.

    A new member is added to the live context. When a member goes, the next handshake gets a new context,
    since OpenSSL cannot take an anchor back.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._keys: dict[NodeId, bytes] = {}
        self._context: ssl.SSLContext | None = None
        self._loaded: set[NodeId] = set()

    @property
    def keys(self) -> Mapping[NodeId, bytes]:
        return self._keys

    def update(self, keys: Mapping[NodeId, bytes]) -> frozenset[NodeId]:
        """Trust exactly ``keys`` from now on; returns those that were trusted before and are no more."""
        gone = frozenset(id for id, key in self._keys.items() if keys.get(id) != key)
        self._keys = dict(keys)
        if gone & self._loaded:
            self._context = None
        return gone

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake: a client certificate is optional, but a stranger's fails."""
        if self._context is None:
            self._context = _context(ssl.PROTOCOL_TLS_SERVER, self._credentials)
            self._context.verify_mode = ssl.CERT_OPTIONAL
            # No session is resumed: the membership at its own moment judges each connection.
            self._context.num_tickets = 0
            self._loaded = set()
        missing = [id for id in self._keys if id not in self._loaded]
        if missing:
            anchors = b"".join(self._credentials.anchor(self._keys[id]) for id in missing)
            self._context.load_verify_locations(cadata=anchors)
            self._loaded.update(missing)
        return self._context


class ClientContexts:
    """Contexts for connecting to others; the most recently used ones are kept."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._kept: OrderedDict[bytes, ssl.SSLContext] = OrderedDict()

    def to(self, public_key: bytes) -> ssl.SSLContext:
        """Mutual TLS with the holder of ``public_key`` and no one else."""
        context = self._kept.get(public_key)
        if context is None:
            context = _context(ssl.PROTOCOL_TLS_CLIENT, self._credentials)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self._credentials.anchor(public_key))
            self._kept[public_key] = context
            if len(self._kept) > MAX_CLIENT_CONTEXTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(public_key)
        return context


def unproven_context() -> ssl.SSLContext:
    """For a node that is no member yet: it shows no certificate, and accepts any server.

    TLS still proves that the server holds the key of its certificate, which :func:`proven_key` returns; the
    caller judges whether that is the right one.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, None)
    context.verify_mode = ssl.CERT_NONE
    return context


def proven_key(certificate: bytes | None) -> bytes | None:
    """The Ed25519 key of a DER certificate whose possession a finished handshake has proved.

    None if there is none.
    """
    if certificate is None:
        return None
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except Exception:
        # A stranger's certificate may be odd in ways for which the library has no one error.
        return None
    if not isinstance(key, Ed25519PublicKey):
        return None
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _context(protocol: int, credentials: Credentials | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols([ALPN])
    if credentials is not None:
        credentials.load_into(context)
    return context


def _certificate(
    *, subject: str, issuer: str, public_key: Ed25519PublicKey, signed_by: Ed25519PrivateKey, authority: bool
) -> x509.Certificate:
    usages = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True
        )
        .add_extension(
            x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, **usages), critical=True
        )
        .sign(signed_by, algorithm=None)
    )


@lru_cache(maxsize=4096)
def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """A path from which OpenSSL reads ``content`` once: a pipe's, so that no key is ever written to a disk.

    ssl takes certificates by path alone. The content (under 1 KiB) fits each system's pipe buffer.
    """
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, content)
        finally:
            os.close(writer)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)

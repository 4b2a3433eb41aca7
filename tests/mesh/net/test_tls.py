"""The certificates alone, over memory: who verifies whom."""

import os
import ssl
import stat

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mesh.net.tls import ClientContexts, Credentials, ServerTrust, _certificate, proven_key, unproven_context
from mesh.wire.identity import Identity, id_text

from .conftest import members


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[bytes | None, bytes | None]:
    """Both ends' proven keys: (what the client saw, what the server saw). Raises either end's error."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_side=False)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = {near, far}
    for _ in range(10):
        for end in (near, far):
            if end in waiting:
                try:
                    end.do_handshake()
                    waiting.discard(end)
                except ssl.SSLWantReadError:
                    continue
        if not waiting:
            return proven_key(near.getpeercert(True)), proven_key(far.getpeercert(True))
    raise AssertionError("the handshake does not end")


class Party:
    def __init__(self) -> None:
        self.identity = Identity.generate()
        self.credentials = Credentials(self.identity)
        self.clients = ClientContexts(self.credentials)
        self.trust = ServerTrust(self.credentials)


@pytest.fixture
def a() -> Party:
    return Party()


@pytest.fixture
def b() -> Party:
    return Party()


def test_members_prove_their_keys_to_each_other(a: Party, b: Party) -> None:
    b.trust.update(members(a.identity, b.identity))
    seen = shake_hands(a.clients.to(b.identity.public_key), b.trust.context())
    assert seen == (b.identity.public_key, a.identity.public_key)


def test_tls_is_1_3_and_names_the_mesh(a: Party) -> None:
    context = a.trust.context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0


def test_a_strangers_certificate_fails_the_handshake(a: Party, b: Party) -> None:
    b.trust.update(members(b.identity))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(a.clients.to(b.identity.public_key), b.trust.context())


def test_a_client_without_a_certificate_is_let_in_unproven(b: Party) -> None:
    assert shake_hands(unproven_context(), b.trust.context()) == (b.identity.public_key, None)


def test_a_server_that_is_another_than_the_one_meant_fails_the_handshake(a: Party, b: Party) -> None:
    b.trust.update(members(a.identity))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(a.clients.to(Identity.generate().public_key), b.trust.context())


def test_who_comes_is_trusted_by_the_live_context(a: Party, b: Party) -> None:
    context = b.trust.context()
    b.trust.update(members(a.identity))
    assert b.trust.context() is context
    assert shake_hands(a.clients.to(b.identity.public_key), context)[1] == a.identity.public_key


def test_who_goes_is_trusted_no_more(a: Party, b: Party) -> None:
    b.trust.update(members(a.identity, b.identity))
    b.trust.context()
    assert b.trust.update(members(b.identity)) == {a.identity.id}
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(a.clients.to(b.identity.public_key), b.trust.context())


def test_a_hundred_members_are_told_apart(b: Party) -> None:
    others = [Identity.generate() for _ in range(100)]
    b.trust.update(members(*others))
    for one in (others[0], others[50], others[99]):
        seen = shake_hands(ClientContexts(Credentials(one)).to(b.identity.public_key), b.trust.context())
        assert seen[1] == one.public_key


def test_a_leaf_in_a_members_name_signed_by_a_stranger_fails(a: Party, b: Party) -> None:
    """The forger names a member as issuer; only the member's own key could sign that."""
    b.trust.update(members(a.identity))
    forger = Party()
    forger.credentials._leaf = _leaf_in_the_name_of(a, forger)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(forger.clients.to(b.identity.public_key), b.trust.context())


def test_a_leaf_that_a_member_issued_for_another_key_shows_that_key(a: Party, b: Party) -> None:
    """OpenSSL accepts it, so the streams must judge by the leaf's own key: this shows that they can."""
    b.trust.update(members(a.identity))
    guest = Party()
    guest.credentials._leaf = _leaf_in_the_name_of(a, guest, signed_by=a)
    seen = shake_hands(guest.clients.to(b.identity.public_key), b.trust.context())
    assert seen[1] == guest.identity.public_key


def _leaf_in_the_name_of(issuer: Party, holder: Party, signed_by: Party | None = None) -> bytes:
    return _certificate(
        subject=f"node:{id_text(issuer.identity.id)}",
        issuer=f"mesh:{id_text(issuer.identity.id)}",
        public_key=holder.credentials._key.public_key(),
        signed_by=(signed_by or holder).credentials._key,
        authority=False,
    ).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("certificate", [None, b"", b"no certificate", bytes(1000)])
def test_what_is_no_certificate_proves_no_key(certificate: bytes | None) -> None:
    assert proven_key(certificate) is None


def test_the_key_is_read_through_a_pipe_not_a_file(a: Party) -> None:
    kinds: list[bool] = []

    class Recording:
        def load_cert_chain(self, certificate: str, key: str) -> None:
            kinds.extend(stat.S_ISFIFO(os.stat(path).st_mode) for path in (certificate, key))

    a.credentials.load_into(Recording())  # type: ignore[arg-type]
    assert kinds == [True, True]


def test_kept_client_contexts_are_bounded(a: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.net.tls.MAX_CLIENT_CONTEXTS", 2)
    keys = [Identity.generate().public_key for _ in range(3)]
    first = a.clients.to(keys[0])
    assert a.clients.to(keys[0]) is first
    a.clients.to(keys[1])
    a.clients.to(keys[2])
    assert a.clients.to(keys[0]) is not first

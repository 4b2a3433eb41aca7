import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.envelope import MAX_BODY, open_envelope, seal
from mesh.wire.errors import DecodeError
from mesh.wire.identity import Identity, NodeId, PoolId, verify
from mesh.wire.messages import MAX_DATAGRAM

SIGNER = Identity.from_seed(bytes(32))
POOL = PoolId(b"p" * 16)
RECEIVER, OTHER = NodeId(b"r" * 16), NodeId(b"o" * 16)


def test_a_datagram_names_and_proves_its_sender() -> None:
    envelope = open_envelope(seal(POOL, SIGNER.id, 7, b"body", SIGNER))
    assert (envelope.pool, envelope.sender, envelope.number, envelope.body) == (POOL, SIGNER.id, 7, b"body")
    assert envelope.proven_by(SIGNER.public_key, verify, OTHER)


def test_a_datagram_for_one_node_proves_nothing_to_another() -> None:
    envelope = open_envelope(seal(POOL, SIGNER.id, 7, b"body", SIGNER, RECEIVER))
    assert (envelope.addressed, envelope.number) == (True, 7)
    assert envelope.proven_by(SIGNER.public_key, verify, RECEIVER)
    assert not envelope.proven_by(SIGNER.public_key, verify, OTHER)


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_byte_of_a_datagram_can_be_changed_unnoticed(at: int, change: int) -> None:
    data = bytearray(seal(POOL, SIGNER.id, 7, b"body", SIGNER))
    data[at % len(data)] ^= change
    with contextlib.suppress(DecodeError):
        assert not open_envelope(bytes(data)).proven_by(SIGNER.public_key, verify, OTHER)


def test_the_largest_body_makes_the_largest_datagram() -> None:
    payload = seal(POOL, SIGNER.id, 7, bytes(MAX_BODY), SIGNER)
    assert len(payload) == MAX_DATAGRAM == 1200
    assert len(open_envelope(payload, MAX_DATAGRAM).body) == MAX_BODY
    with pytest.raises(DecodeError):
        open_envelope(payload + b"x", MAX_DATAGRAM)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_datagram_or_refused_with_the_one_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert not open_envelope(data).proven_by(SIGNER.public_key, verify, OTHER)


def test_another_version_is_refused_by_its_number() -> None:
    payload = b"\x63" + seal(POOL, SIGNER.id, 7, b"body", SIGNER)[1:]
    with pytest.raises(DecodeError, match="99"):
        open_envelope(payload)

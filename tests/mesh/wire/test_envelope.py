import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import messages
from mesh.wire.envelope import MAX_BODY, open_envelope, seal
from mesh.wire.errors import DecodeError
from mesh.wire.identity import Identity, NodeId, PoolId, verify
from mesh.wire.messages import MAX_DATAGRAM
from mesh.wire.versions import Versions

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


@pytest.mark.parametrize("version", [0, 1])
def test_a_version_before_this_layout_is_refused_by_its_number(version: int) -> None:
    payload = bytes([version]) + seal(POOL, SIGNER.id, 7, b"body", SIGNER)[1:]
    with pytest.raises(DecodeError, match=f"Version {version}"):
        open_envelope(payload)


@given(st.integers(2, 255), st.integers(0, 9))
def test_a_datagram_of_any_later_version_says_and_proves_who_sent_it(oldest: int, span: int) -> None:
    speaks = Versions(oldest, min(oldest + span, 255))
    envelope = open_envelope(seal(POOL, SIGNER.id, 7, b"body", SIGNER, RECEIVER, speaks))
    assert (envelope.version, envelope.sender, envelope.body) == (oldest, SIGNER.id, b"body")
    assert envelope.proven_by(SIGNER.public_key, verify, RECEIVER)


@pytest.mark.parametrize(
    ("sender", "reader", "reads"),
    [
        (Versions(2, 2), Versions(2, 2), True),
        (Versions(2, 3), Versions(2, 2), True),
        (Versions(3, 4), Versions(2, 2), False),
        (Versions(2, 2), Versions(2, 3), True),
        (Versions(3, 4), Versions(2, 3), True),
        (Versions(4, 5), Versions(2, 3), False),
        (Versions(2, 3), Versions(3, 4), True),
        (Versions(2, 3), Versions(5, 6), False),
        (Versions(4, 5), Versions(5, 6), True),
    ],
)
def test_a_datagram_is_read_by_whoever_speaks_its_version_or_the_next(
    sender: Versions, reader: Versions, reads: bool
) -> None:
    assert open_envelope(seal(POOL, SIGNER.id, 7, b"body", SIGNER, speaks=sender)).is_read_by(reader) is reads


def test_a_datagram_of_this_program_has_the_bytes_that_it_had_in_version_2() -> None:
    golden = bytes.fromhex(json.loads(Path(__file__).with_name("version_2.json").read_text())["datagram"])
    assert seal(POOL, SIGNER.id, 7, messages.encode(messages.Ping(1, bytes(8), 2, 3)), SIGNER) == golden

"""Simulated signatures prove what real ones prove, as long as nobody forges."""

import pytest

from mesh.wire import identity as ed25519
from mesh.wire.identity import Signer, Verifier, node_id
from simulations.signing import KeyedHash, identity, verify

both = pytest.mark.parametrize(
    ("one", "other", "verifier"),
    [(KeyedHash(1), KeyedHash(2), verify), (identity(1), identity(2), ed25519.verify)],
    ids=["keyed hash", "ed25519"],
)


@both
def test_a_signature_holds_for_its_key_and_message_alone(
    one: Signer, other: Signer, verifier: Verifier
) -> None:
    signature = one.sign(b"message")
    assert len(signature) == 64
    assert verifier(one.public_key, b"message", signature)
    assert not verifier(other.public_key, b"message", signature)
    assert not verifier(one.public_key, b"another", signature)
    assert not verifier(one.public_key, b"message", signature[:-1] + bytes([signature[-1] ^ 1]))


def test_a_number_names_one_key_pair_and_its_id() -> None:
    assert KeyedHash(7).id == KeyedHash(7).id == node_id(KeyedHash(7).public_key) != KeyedHash(8).id
    assert identity(7).public_key == identity(7).public_key != identity(8).public_key

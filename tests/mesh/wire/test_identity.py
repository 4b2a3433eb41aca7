import pytest

from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, id_text, node_id, parse_id, pool_id, verify


def test_a_seed_gives_the_same_identity_again() -> None:
    identity = Identity.generate()
    again = Identity.from_seed(identity.seed)
    assert again.public_key == identity.public_key
    assert again.id == identity.id == node_id(identity.public_key)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(MeshError):
        Identity.from_seed(b"short")


def test_what_an_identity_signs_only_its_own_key_proves() -> None:
    identity, other = Identity.from_seed(bytes(32)), Identity.from_seed(b"\1" * 32)
    signature = identity.sign(b"message")
    assert verify(identity.public_key, b"message", signature)
    assert not verify(other.public_key, b"message", signature)
    assert not verify(identity.public_key, b"messagE", signature)


def test_nonsense_keys_and_signatures_prove_nothing() -> None:
    assert not verify(b"", b"message", bytes(64))
    assert not verify(b"\xff" * 32, b"message", bytes(64))
    assert not verify(bytes(32), b"message", b"short")


def test_a_founder_and_its_pool_have_different_ids() -> None:
    key = Identity.from_seed(bytes(32)).public_key
    assert len(node_id(key)) == len(pool_id(key)) == 16
    assert bytes(node_id(key)) != bytes(pool_id(key))


def test_an_id_reads_as_26_letters_and_digits_and_comes_back() -> None:
    id = Identity.from_seed(bytes(32)).id
    text = id_text(id)
    assert len(text) == 26
    assert text == text.lower()
    assert parse_id(text) == parse_id(f" {text.upper()} ") == id


@pytest.mark.parametrize("text", ["", "a", "not an id at all, not", "ä" * 26, "b" * 26, "a" * 27])
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(MeshError):
        parse_id(text)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.facts import Record
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Profile
from mesh.wire.versions import CLOSED, NONCE_BYTES, SPOKEN, Versions, marked, spoken_by

ANY = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(lambda two: Versions(min(two), max(two)))
NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)


@given(ANY, ANY)
def test_two_programs_speak_the_newest_version_that_both_know(one: Versions, other: Versions) -> None:
    shared = set(range(one.oldest, one.newest + 1)) & set(range(other.oldest, other.newest + 1))
    assert one.common(other) == other.common(one) == max(shared, default=None)


@given(ANY.filter(lambda speaks: speaks.newest >= 3), NONCES)
def test_a_marked_nonce_says_what_its_author_speaks(speaks: Versions, nonce: bytes) -> None:
    mark = marked(nonce, speaks)
    assert len(mark) == NONCE_BYTES
    assert spoken_by(mark) == speaks
    assert mark[-4:] == nonce[-4:]


@given(NONCES)
def test_a_program_of_version_2_marks_nothing_and_is_known_by_that(nonce: bytes) -> None:
    assert marked(nonce, CLOSED) == nonce
    if nonce[:2] != b"mw":
        assert spoken_by(nonce) == CLOSED


@pytest.mark.parametrize("versions", [b"\x04\x03", b"\x02\x02", b"\x00\x00", b"\xff\x03"])
def test_a_mark_that_makes_no_sense_is_a_nonce_of_version_2(versions: bytes) -> None:
    assert spoken_by(b"mw" + versions + b"rand") == CLOSED


def test_a_record_says_what_its_author_speaks() -> None:
    author = NodeId(b"a" * 16)
    record = Record(PoolId(b"p" * 16), author, 1, marked(bytes(8), SPOKEN), 1, False, Profile())
    assert record.speaks == SPOKEN


@pytest.mark.parametrize(
    ("versions", "text"), [(Versions(2, 2), "2"), (Versions(2, 3), "2 and 3"), (Versions(2, 4), "2 to 4")]
)
def test_versions_are_told_to_people_in_words(versions: Versions, text: str) -> None:
    assert str(versions) == text

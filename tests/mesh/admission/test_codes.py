"""A code is read as it was said, however it is typed, and is hard to guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.admission.codes import SLOTS, Code
from mesh.admission.pool_names import HOW, WHAT
from mesh.wire.errors import MeshError

CODES = st.builds(
    Code,
    st.integers(0, SLOTS - 1),
    st.tuples(st.sampled_from(HOW), st.sampled_from(WHAT), st.sampled_from(WHAT)),
)


@given(CODES)
def test_a_code_is_read_as_it_was_shown_with_dashes_or_blanks_in_any_case(code: Code) -> None:
    for text in (str(code), str(code).replace("-", " "), f" {str(code).upper()}\n"):
        assert Code.parse(text) == code


def test_codes_differ_and_guessing_the_words_of_one_is_hopeless() -> None:
    assert len({Code.new().words for _ in range(100)}) > 90
    assert len(HOW) * len(WHAT) ** 2 == 1 << 18


@pytest.mark.parametrize(
    "text", ["", "42", "swift-otter-elm", "42-swift-otter", "x-swift-otter-elm", "420-a-b-c"]
)
def test_what_is_no_code_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(MeshError, match="no code") as caught:
        Code.parse(text)
    assert "42-swift-otter-elm" in caught.value.hint


def test_a_misspelt_word_is_noticed_before_the_code_is_tried() -> None:
    with pytest.raises(MeshError, match="'oter'") as caught:
        Code.parse("42-swift-oter-elm")
    assert caught.value.hint == "perhaps otter?"


def test_the_number_is_no_part_of_the_secret() -> None:
    assert Code(1, ("swift", "otter", "elm")).secret == Code(2, ("swift", "otter", "elm")).secret

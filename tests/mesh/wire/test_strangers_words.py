from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.strangers_words import printable


def test_what_drives_a_terminal_becomes_blank() -> None:
    assert (
        printable("no\x1b[2J room\nERROR: a line of its own \u202e", 80)
        == "no [2J room ERROR: a line of its own"
    )


def test_what_is_no_text_says_nothing() -> None:
    strange: list[object] = [None, 7, b"bytes", ["list"]]
    assert [printable(words, 80) for words in strange] == [""] * 4


@given(st.text(max_size=40), st.integers(0, 40))
def test_nothing_is_longer_than_asked_or_not_printable(words: str, most: int) -> None:
    said = printable(words, most)
    assert len(said) <= most
    assert said.isprintable()

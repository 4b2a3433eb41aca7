import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.chat.model_text import LONGEST_SEQUENCE, ModelText

CHARACTERS = st.characters() | st.sampled_from("\x1b[]PX^_\\;31mK\x07\x9b\x9d\x9c\n\t\r")
ALLOWED = {"\n", "\t", "\u200c", "\u200d"}


def filtered(*pieces: str) -> str:
    filter = ModelText()
    return "".join(map(filter.feed, pieces))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a\nb\tc"),
        ("red \x1b[31mblood\x1b[0m!", "red blood!"),
        ("title \x1b]0;gone\x07stays \x1b]8;;http://x\x1b\\link", "title stays link"),
        ("\x1bPq#0\x1b\\x\x1b(By\x1b7z", "xyz"),
        ("\x9b31mone\x9d0;t\x9ctwo", "onetwo"),
        ("a\r\nb\x00\x08\x7f", "a\nb"),
        ("\u202eevil\u2066", "evil"),
        ("1\u00a0000 日本 👩\u200d💻 e\u0301", "1\u00a0000 日本 👩\u200d💻 e\u0301"),
        ("x\u2028y", "x\ny"),
        ("\x1b\x1b[1mz", "z"),
    ],
)
def test_text_stays_and_what_drives_a_terminal_goes(text: str, shown: str) -> None:
    assert filtered(text) == shown


@given(st.lists(st.text(CHARACTERS, max_size=20), max_size=10))
def test_where_text_is_cut_makes_no_difference(pieces: list[str]) -> None:
    whole = filtered("".join(pieces))
    assert filtered(*pieces) == whole == filtered(*"".join(pieces))
    assert all(c in ALLOWED or c.isprintable() or ord(c) > 0x9F for c in whole)


def test_a_sequence_without_end_does_not_swallow_the_answer() -> None:
    assert filtered("\x1b]0;" + "x" * LONGEST_SEQUENCE, "text").endswith("text")
    assert filtered("\x1b]0;title\nnext line") == "\nnext line"

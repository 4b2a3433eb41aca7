from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.chat.display import LinesDisplay, TerminalDisplay
from mesh.cli.chat.waiting_reasons import WaitingReason
from tests.mesh.cli.chat.screen import Screen

LOST = WaitingReason("the leader was lost, waiting", True)
READING = WaitingReason("reading the prompt, 40%", False)
COLUMNS, ROWS = 20, 5

letters = st.sampled_from(
    ["a", "b ", "\n", "\t", "日", "e\u0301", "\x1b[31m", "\x1b]0;t\x07", "\r\n", "long word "]
)
pieces = st.lists(letters, min_size=1, max_size=30).map("".join)
steps = st.lists(pieces | st.tuples(st.sampled_from([LOST, READING]), st.integers(0, 200)), max_size=20)


def shown(steps: list[Any], *, pauses: bool, colour: bool = True) -> Screen:
    screen = Screen(COLUMNS, ROWS)
    screen.feed("> prompt\n")
    display = TerminalDisplay(screen.feed, lambda: COLUMNS, colour=colour)
    for step in steps:
        if isinstance(step, str):
            display.text(step)
        elif pauses:
            display.waiting(*step)
    display.end()
    return screen


@given(steps)
def test_pauses_leave_no_trace_on_the_screen_wherever_they_come(steps: list[Any]) -> None:
    disturbed, calm = shown(steps, pauses=True), shown(steps, pauses=False)
    assert disturbed.text() == calm.text()
    disturbed.feed("next")
    calm.feed("next")
    assert disturbed.text() == calm.text()


@given(st.integers(0, 3 * COLUMNS), st.sampled_from(["\n", "more", "日", "\tend"]))
def test_a_pause_in_any_column_of_any_row_leaves_no_trace(before: int, after: str) -> None:
    steps = ["x" * before, (LOST, 1), (LOST, 2), after, (READING, 3)]
    assert shown(steps, pauses=True).text() == shown(steps, pauses=False).text()


@given(st.lists(st.sampled_from(["a", "be", "sea,", "three", "seventeen-letters"]), max_size=12), st.data())
def test_rows_end_between_words_however_the_text_comes(words: list[str], data: st.DataObject) -> None:
    text, pieces = " ".join(words), list[str]()
    while text:
        length = data.draw(st.integers(1, len(text)))
        pieces, text = [*pieces, text[:length]], text[length:]
    rows = shown(pieces, pauses=False, colour=False).text().splitlines()[1:]
    assert [word for row in rows for word in row.split()] == words
    for row, following in pairwise(rows):
        assert len(row) + 1 + len(following.split()[0]) > COLUMNS - 1


def test_a_word_longer_than_a_row_fills_it_and_wide_characters_need_no_blank() -> None:
    long = shown(["see ", "x" * 25, " end"], pauses=False, colour=False).text()
    assert long == f"> prompt\nsee\n{'x' * 19}\n{'x' * 6} end"
    wide = shown(["a", "日" * 10, " \t b"], pauses=False, colour=False).text()
    assert wide == f"> prompt\na{'日' * 9}\n日       b"


def test_what_is_waited_for_stands_below_the_text_while_it_lasts() -> None:
    screen = Screen(60, ROWS)
    display = TerminalDisplay(screen.feed, lambda: 60, colour=False)
    display.waiting(READING, 1)
    assert screen.text() == "reading the prompt, 40% (1 s)"
    display.text("Once upon")
    display.waiting(LOST, 3.2)
    assert screen.text() == "Once upon\nthe leader was lost, waiting (3 s)"
    display.text(" a time")
    assert screen.text() == "Once upon a time"


def test_a_notice_wider_than_the_terminal_keeps_its_seconds() -> None:
    screen = Screen(COLUMNS, ROWS)
    TerminalDisplay(screen.feed, lambda: COLUMNS, colour=False).waiting(LOST, 12)
    assert screen.text() == "the leader … (12 s)"


def test_reasoning_is_dim_and_the_answer_begins_below_it() -> None:
    written: list[str] = []
    display = TerminalDisplay(written.append, lambda: 80, colour=True)
    display.thought("hm")
    display.text("\nYes.")
    display.end()
    assert "".join(written) == "\x1b[2mhm\x1b[0m\n\nYes.\n"


def test_a_pipe_gets_the_answer_as_it_is_and_each_loss_once_aside() -> None:
    answer: list[str] = []
    aside: list[str] = []
    display = LinesDisplay(answer.append, aside.append)
    display.waiting(READING, 5)
    display.text("a\r\n\x1b[1mb")
    display.thought("hm")
    for seconds in range(3):
        display.waiting(LOST, seconds)
    display.waiting(WaitingReason("beta leads now and the model is loading, 10%", True), 3)
    display.waiting(WaitingReason("beta leads now and the model is loading, 20%", True), 4)
    display.text("c")
    display.end()
    assert "".join(answer) == "a\r\n\x1b[1mbc\n"
    assert aside == [
        "the leader was lost, waiting\n",
        "beta leads now and the model is loading, 10%\n",
    ]


def test_lines_at_a_terminal_are_protected_as_well() -> None:
    answer: list[str] = []
    display = LinesDisplay(answer.append, answer.append, on_terminal=True)
    display.text("a\x1b[")
    display.text("31mb\n")
    display.end()
    assert "".join(answer) == "ab\n"

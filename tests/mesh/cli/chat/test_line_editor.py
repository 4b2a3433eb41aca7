from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from mesh.cli.chat.line_editor import LineEditor
from mesh.cli.chat.prompt_history import PromptHistory

UP, CTRL_C, CTRL_D, CTRL_J, ALT_ENTER = "\x1b[A", "\x03", "\x04", "\n", "\x1b\r"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


@pytest.fixture
def history(tmp_path: Path) -> PromptHistory:
    return PromptHistory(tmp_path / "history")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("Hello\r", "Hello"),
        (f"one{CTRL_J}two{ALT_ENTER}three\r", "one\ntwo\nthree"),
        ("\x1b[200~pasted\nlines\r\nof text\x1b[201~\r", "pasted\nlines\nof text"),
        (f"mistyped{CTRL_C}anew\r", "anew"),
        (f"ab\x1b[D{CTRL_D}\r", "a"),
    ],
)
def test_a_message_may_have_several_lines(
    keys: PipeInput, history: PromptHistory, typed: str, line: str
) -> None:
    keys.send_text(typed)
    assert LineEditor(history).read() == line


def test_what_was_typed_in_an_earlier_conversation_comes_back(
    keys: PipeInput, history: PromptHistory
) -> None:
    keys.send_text("first\r")
    LineEditor(history).read()
    keys.send_text(f"{UP}\r")
    editor = LineEditor(history)
    assert editor.read() == "first"


def test_leaving_is_told_from_interrupting(keys: PipeInput, history: PromptHistory) -> None:
    editor = LineEditor(history)
    keys.send_text(CTRL_C)
    with pytest.raises(KeyboardInterrupt):
        editor.read()
    keys.send_text(CTRL_D)
    with pytest.raises(EOFError):
        editor.read()

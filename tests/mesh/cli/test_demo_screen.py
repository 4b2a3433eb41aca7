"""The demo's screen wraps an answer as it comes, and marks the kill in it."""

import io
import os

import pytest

from mesh.cli.demo_screen import DemoScreen
from mesh.cli.terminal import ProgressBar


class Terminal(io.StringIO):
    """It says that it is one, and has no size."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def plain() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(plain: io.StringIO) -> DemoScreen:
    return DemoScreen(plain, ProgressBar(plain))


def say(screen: DemoScreen, *pieces: str) -> None:
    for piece in pieces:
        screen.piece(piece)


def test_a_plain_log_has_steps_facts_and_the_kill_in_words(screen: DemoScreen, plain: io.StringIO) -> None:
    screen.heading("The model")
    screen.line("98 MB")
    say(screen, "A good", " te", "am")
    screen.killed("alpha")
    say(screen, " is", " built.\n\n", "Indeed.")
    screen.answer_ends()
    screen.line("identical")
    assert plain.getvalue() == (
        "\nThe model\n  98 MB\n    A good team [kill -9 alpha] is built.\n    Indeed.\n  identical\n"
    )


def test_a_word_is_shown_at_once(screen: DemoScreen, plain: io.StringIO) -> None:
    say(screen, "A", " go")
    assert plain.getvalue() == "    A go"


def test_an_answer_is_wrapped_between_words(screen: DemoScreen, plain: io.StringIO) -> None:
    say(screen, *(" collaboration" for _ in range(20)))
    screen.answer_ends()
    lines = plain.getvalue().splitlines()
    assert len(lines) == 4
    assert {len(line) for line in lines[:3]} == {4 + 6 * 14 - 1}
    assert " ".join(" ".join(lines).split()) == " ".join(["collaboration"] * 20)


def test_a_terminal_shows_the_kill_in_red_and_the_rest_in_green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    screen = DemoScreen(terminal, ProgressBar(io.StringIO()))
    say(screen, "A good")
    screen.killed("alpha")
    say(screen, " team")
    screen.answer_ends()
    say(screen, "A")
    assert terminal.getvalue() == ("    A good \x1b[31m[kill -9 alpha]\x1b[0m \x1b[32mteam\x1b[0m\n    A")


def test_what_a_model_says_does_not_drive_the_terminal(screen: DemoScreen, plain: io.StringIO) -> None:
    say(screen, "A\x1b[2Jgood")
    assert plain.getvalue() == "    A?[2Jgood"


def test_the_bar_goes_before_anything_else_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    terminal = Terminal()
    screen = DemoScreen(io.StringIO(), ProgressBar(terminal))
    screen.progress({"text": "compiling", "progress": 0.5})
    assert "compiling" in terminal.getvalue()
    screen.line("built")
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_an_answer_that_breaks_off_leaves_its_line(screen: DemoScreen, plain: io.StringIO) -> None:
    say(screen, "A good")
    screen.end_line()
    screen.end_line()
    assert plain.getvalue() == "    A good\n"

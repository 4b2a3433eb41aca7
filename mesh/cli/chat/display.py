"""What is written while an answer comes: its text, and in between what is waited for. Pure.

On a terminal what is waited for is a dim line that goes again without a trace. It stands below the text, or
on the text's own line where that is empty, and the cursor never leaves the text's end for longer than it
takes to write the line. So the text that follows needs no knowledge of what was shown.
"""

import unicodedata
from collections.abc import Callable
from typing import Protocol

from mesh.cli.chat.model_text import ModelText
from mesh.cli.chat.waiting_reasons import WaitingReason
from mesh.cli.terminal import clean, cut, width

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_MAKE_ROOM = "\x1bD\x1b[A"
"""Down and up again in the same column: the terminal scrolls where the text is in its last row."""
_ROW_BELOW = "\x1b[B\r"
_CLEAR = "\x1b[K"
_TAB = 8

Write = Callable[[str], None]


class AnswerDisplay(Protocol):
    """Shows one answer."""

    def text(self, text: str) -> None:
        """Show more of the answer."""

    def thought(self, text: str) -> None:
        """Show more of the reasoning."""

    def waiting(self, reason: WaitingReason, seconds: float) -> None:
        """Show what has been waited for, for so long."""

    def end(self) -> None:
        """End it, on a line of its own."""


class LinesDisplay:
    """For pipes and files: the answer as it is, and a line aside for each loss of a leader."""

    def __init__(self, answer: Write, aside: Write, *, on_terminal: bool = False) -> None:
        """``on_terminal``: the answer is read at a terminal, which is to be protected."""
        self._answer, self._aside = answer, aside
        self._filter = ModelText() if on_terminal else None
        self._said = ""
        self._last = "\n"

    def text(self, text: str) -> None:
        self._said = ""
        shown = text if self._filter is None else self._filter.feed(text)
        if shown:
            self._last = shown[-1]
            self._answer(shown)

    def thought(self, text: str) -> None:
        self._said = ""

    def waiting(self, reason: WaitingReason, seconds: float) -> None:
        said = reason.text.partition(",")[0]
        if reason.loss and said != self._said:
            self._said = said
            self._aside(f"{clean(reason.text)}\n")

    def end(self) -> None:
        if self._last != "\n":
            self._answer("\n")


class TerminalDisplay:
    """For a terminal of so many ``columns``."""

    def __init__(self, write: Write, columns: Callable[[], int], *, colour: bool) -> None:
        self._write, self._columns, self._colour = write, columns, colour
        self._filters = {False: ModelText(), True: ModelText()}
        self._thinking = False
        self._column = 0
        self._notice = ""
        self._below = False
        self._wrapped = False

    def text(self, text: str) -> None:
        self._show(text, thought=False)

    def thought(self, text: str) -> None:
        self._show(text, thought=True)

    def waiting(self, reason: WaitingReason, seconds: float) -> None:
        waited = f" ({seconds:.0f} s)"
        notice = cut(clean(reason.text), self._columns() - 1 - len(waited)) + waited
        if notice == self._notice:
            return
        if not self._notice:
            self._make_room()
        self._notice = notice
        below = _ROW_BELOW if self._below else ""
        self._write(f"{_SAVE}{below}{_CLEAR}{self._dim(notice)}{_RESTORE}")

    def end(self) -> None:
        self._clear()
        if self._column:
            self._write("\n")
        self._column, self._wrapped = 0, False

    def _show(self, text: str, *, thought: bool) -> None:
        shown = self._filters[thought].feed(text)
        if not shown:
            return
        self._clear()
        if self._thinking and not thought:
            # The answer begins in a row of its own, below the reasoning.
            gap = "\n" if self._column == 0 else "\n\n"
            shown = gap + shown.lstrip("\n")
        self._thinking = thought
        if self._wrapped:
            shown = shown.removeprefix("\n")  # the row is ended already
            self._wrapped = False
        shown = self._place(shown)
        self._write(self._dim(shown) if thought else shown)

    def _make_room(self) -> None:
        if self._column >= self._columns():
            # The next character would wrap, which no terminal remembers over moves: let it wrap now.
            self._write(" \b")
            self._column, self._wrapped = 0, True
        self._below = self._column > 0
        if self._below:
            self._write(_MAKE_ROOM)

    def _clear(self) -> None:
        if self._notice:
            below = _ROW_BELOW if self._below else ""
            self._write(f"{_SAVE}{below}{_CLEAR}{_RESTORE}")
            self._notice = ""

    def _place(self, text: str) -> str:
        """Return the text with blanks for tabs, and keep count of the column that the cursor is in.

        That of a full row is its number of columns: the next character will wrap.
        """
        columns, placed = self._columns(), []
        for c in text:
            if c == "\t":
                column = self._column % columns
                c = " " * min(_TAB - column % _TAB, columns - column)
            placed.append(c)
            if c == "\n":
                self._column = 0
            elif taken := sum(map(cells, c)):
                fits = self._column + taken <= columns
                self._column = self._column + taken if fits else taken
        return "".join(placed)

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colour else text


def cells(c: str) -> int:
    """Return the columns that one character takes."""
    return 0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else width(c)

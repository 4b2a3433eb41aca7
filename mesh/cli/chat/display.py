"""What is written while an answer comes: its text, and in between what is waited for. Pure.

On a terminal what is waited for is a dim line that goes again without a trace. It stands below the text, or
on the text's own line where that is empty, and the cursor never leaves the text's end for longer than it
takes to write the line. So the text that follows needs no knowledge of what was shown.

Rows end between words: a word that does not fit any more is taken back and begins the next row. The last
column stays free, for terminals differ in where the cursor stands behind it.
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
        self._word = ""
        """What stands before the cursor in its row, and is not parted."""
        self._notice = ""
        self._below = False

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
        self._column, self._word = 0, ""

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
        shown = self._place(shown)
        self._write(self._dim(shown) if thought else shown)

    def _make_room(self) -> None:
        self._below = self._column > 0
        if self._below:
            self._write(_MAKE_ROOM)

    def _clear(self) -> None:
        if self._notice:
            below = _ROW_BELOW if self._below else ""
            self._write(f"{_SAVE}{below}{_CLEAR}{_RESTORE}")
            self._notice = ""

    def _place(self, text: str) -> str:
        """Return the text with its rows broken and blanks for tabs, and keep count of the cursor's column."""
        usable, placed = max(1, self._columns() - 1), []
        for c in text:
            if c == "\n":
                placed.append(c)
                self._column, self._word = 0, ""
                continue
            if c == "\t":
                c = " " * (_TAB - self._column % _TAB)
            taken, blank = sum(map(cells, c)), c.isspace()
            if blank and self._column + taken > usable:
                taken = max(0, usable - self._column)  # the rest of it would begin the next row
                c = " " * taken
            elif self._column + taken > usable:
                placed.append(self._next_row(c))
            placed.append(c)
            self._column += taken
            # Between wide characters a row may end, as it may between words.
            self._word = "" if blank or taken > 1 else self._word + c
        return "".join(placed)

    def _next_row(self, c: str) -> str:
        """Return what brings the cursor to the next row, with the word that ``c`` goes on with."""
        word = "" if width(c) > 1 else self._word
        taken = sum(map(cells, word))
        start = self._column - taken
        if not word or not start:
            self._column, self._word = 0, ""
            return "\n"
        self._column = taken
        return f"\r\x1b[{start}C{_CLEAR}\n{word}"

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colour else text


def cells(c: str) -> int:
    """Return the columns that one character takes."""
    return 0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else width(c)

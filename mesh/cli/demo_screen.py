"""The demo on standard output: its steps, and answers as they come, with the kill marked in them."""

import re
import shutil
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from mesh.cli.terminal import ProgressBar, clean, paint, width
from mesh.tools.demo.audience import Audience

INDENT: Final = "    "
WIDEST: Final = 96
USUAL_WORD: Final = 12
"""Columns."""


class DemoScreen(Audience):
    """Colours and a live bar where `stream` is a terminal; the same words without."""

    def __init__(self, stream: TextIO | None = None, bar: ProgressBar | None = None) -> None:
        self._stream = stream or sys.stdout
        self._bar = bar or ProgressBar()
        self._style = ""
        self._column = 0  # in an answer; 0 outside
        self._blank = ""  # before the next word
        columns = shutil.get_terminal_size((WIDEST, 24)).columns if self._stream.isatty() else WIDEST
        self._width = max(30, min(columns - 1, WIDEST))

    def heading(self, step: str) -> None:
        self._bar.close()
        self._write(f"\n{paint(clean(step), 'bold', self._stream)}\n")

    def line(self, text: str) -> None:
        self._bar.close()
        self._write(f"  {clean(text)}\n")

    def progress(self, event: Mapping[str, Any]) -> None:
        self._bar.show(event)

    def piece(self, text: str) -> None:
        """Write each word where it has room. A word that comes in pieces is not held back for that."""
        for part in re.findall(r"\s+|\S+", text):
            if part.isspace():
                self._blank = "\n" if "\n" in part + self._blank else " "
            else:
                self._part_of_word(clean(part))
        self._stream.flush()

    def _part_of_word(self, part: str) -> None:
        # Nobody knows how long a word becomes, so each has room for one of usual length.
        full = self._blank and self._column + max(width(part), USUAL_WORD) + 1 > self._width
        if self._column == 0 or full or self._blank == "\n":
            self._write(("\n" if self._column else "") + INDENT)
            self._column = len(INDENT)
        elif self._blank:
            self._write(" ")
            self._column += 1
        self._blank = ""
        self._write(paint(part, self._style, self._stream))
        self._column += width(part)

    def killed(self, name: str) -> None:
        self._blank = self._blank or " "
        self._style = "red"
        self._part_of_word(f"[kill -9 {clean(name)}]")
        self._stream.flush()
        self._blank, self._style = " ", "green"

    def answer_ends(self) -> None:
        self.end_line()
        self._style = ""

    def end_line(self) -> None:
        """Leave the line of an answer, and erase the bar."""
        self._bar.close()
        if self._column:
            self._write("\n")
        self._column, self._blank = 0, ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        if text.endswith("\n"):
            self._stream.flush()

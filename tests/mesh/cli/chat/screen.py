"""A small terminal: what is on its screen, and what was scrolled off, after text and escape sequences."""

import re
import unicodedata

from mesh.cli.terminal import width

_SEQUENCE = re.compile(r"\x1b(?:\[(?P<csi>[\d?;]*)(?P<final>[A-Za-z])|(?P<short>[78D]))")


class Screen:
    """So many columns and rows. Saving the cursor forgets that the next character wraps, as some do."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._lines: list[list[str]] = [[""] * columns for _ in range(rows)]
        self._gone: list[list[str]] = []
        self._row = self._column = 0
        self._saved = (0, 0)

    def feed(self, text: str) -> None:
        """Take output as a program with the usual line discipline writes it."""
        place = 0
        while place < len(text):
            if found := _SEQUENCE.match(text, place):
                self._sequence(found)
                place = found.end()
            else:
                self._character(text[place])
                place += 1

    def text(self) -> str:
        """All rows, those scrolled off included, without blanks at the end of rows and of the text."""
        rows = ["".join(line).rstrip() for line in [*self._gone, *self._lines]]
        return "\n".join(rows).rstrip()

    def _sequence(self, found: re.Match[str]) -> None:
        short, final = found["short"], found["final"]
        if short == "7":
            self._saved = self._row, min(self._column, self.columns - 1)
        elif short == "8":
            self._row, self._column = self._saved
        elif short == "D":
            self._down()
        elif final == "A":
            self._row = max(0, self._row - 1)
            self._column = min(self._column, self.columns - 1)
        elif final == "B":
            self._row = min(self.rows - 1, self._row + 1)
        elif final == "C":
            self._column = min(self.columns - 1, self._column + int(found["csi"]))
        elif final == "K":
            column = min(self._column, self.columns - 1)
            self._lines[self._row][column:] = [""] * (self.columns - column)
        elif final != "m":
            raise AssertionError(f"this terminal does not know {found[0]!r}")

    def _character(self, c: str) -> None:
        if c == "\n":
            self._column = 0
            self._down()
        elif c == "\r":
            self._column = 0
        elif c == "\b":
            self._column = max(0, min(self._column, self.columns - 1) - 1)
        elif unicodedata.category(c) in ("Mn", "Me", "Cf"):
            self._lines[self._row][max(0, self._column - 1)] += c
        elif c.isprintable():
            self._print(c)
        else:
            raise AssertionError(f"{c!r} drives a terminal")

    def _print(self, c: str) -> None:
        taken = width(c)
        if self._column + taken > self.columns:
            self._column = 0
            self._down()
        self._lines[self._row][self._column] = c
        for more in range(1, taken):
            self._lines[self._row][self._column + more] = ""
        self._column += taken

    def _down(self) -> None:
        if self._row == self.rows - 1:
            self._gone.append(self._lines.pop(0))
            self._lines.append([""] * self.columns)
        else:
            self._row += 1

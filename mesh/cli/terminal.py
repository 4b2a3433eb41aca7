"""What people see: aligned tables, a bar, a little colour where a terminal shows it."""

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

Cell = str | tuple[str, str]
"""A text, or a text and its style."""

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_BAR_WIDTH = 24


def clean(text: str) -> str:
    """`text` without anything that could drive the terminal: names and reasons come from other machines."""
    return "".join(c if c.isprintable() else "?" for c in text)


def coloured(stream: TextIO) -> bool:
    """Whether to colour output to `stream`: a terminal, unless NO_COLOR (https://no-color.org) is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in the style bold, dim, red, green or yellow, where `stream` (standard output) shows it."""
    if not style or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def width(text: str) -> int:
    """The columns that `text` takes: wide characters count twice, combining ones not at all."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def table(rows: Sequence[Sequence[Cell]], right: Sequence[int] = (), indent: str = "") -> str:
    """The rows as columns, two spaces apart; the first row is the heading, columns `right` are numbers."""
    cells = [[(c, "") if isinstance(c, str) else c for c in row] for row in rows]
    cells = [[(clean(text), style) for text, style in row] for row in cells]
    widths = [max(width(row[i][0]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for number, row in enumerate(cells):
        parts = []
        for i, (text, style) in enumerate(row):
            gap = " " * (widths[i] - width(text))
            shown = paint(text, "dim" if number == 0 else style) if text else ""
            parts.append(gap + shown if i in right else shown + gap)
        lines.append((indent + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def fields(lines: Sequence[tuple[str, str, str]], indent: str = "") -> str:
    """A name, its value and the value's style on each line."""
    longest = max(len(name) for name, _, _ in lines)
    return "\n".join(
        f"{indent}{paint(name.ljust(longest), 'dim')}  {paint(clean(value), style)}"
        for name, value, style in lines
    )


def bar(fraction: float) -> str:
    """A progress bar with its percentage; `fraction` is 0..1."""
    fraction = min(1.0, max(0.0, fraction))
    full = int(fraction * _BAR_WIDTH)
    return f"[{'#' * full}{'.' * (_BAR_WIDTH - full)}] {int(fraction * 100):3d} %"


def size(count: int) -> str:
    """A number of bytes for people: ``512 MiB``, ``7.6 GiB``."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """A time for people: ``42 s``, ``3 min``, ``24 h``, ``7 d``."""
    for length, unit, upto in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172800)):
        if seconds < upto:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def count(number: int, noun: str) -> str:
    """``1 member``, ``3 members``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class ProgressBar:
    """Shows the events of a slow operation: a line each, or a bar that is redrawn in place.

    Without a terminal a bar becomes a plain line at every tenth. Everything goes to standard error, so that
    standard output has the result alone.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._drawn = False
        self._last: tuple[str, int] = ("", -1)

    def show(self, event: Mapping[str, Any]) -> None:
        text = clean(str(event.get("text", "")))
        progress = event.get("progress")
        if progress is None:
            self.close()
            if (text, -1) != self._last:
                print(text, file=self._stream, flush=True)
            self._last = (text, -1)
            return
        eta = event.get("eta_seconds")
        left = f", {duration(eta)} left" if eta else ""
        if self._terminal:
            self._stream.write(f"\r\x1b[K{bar(progress)}  {text}{left}"[: self._columns()])
            self._stream.flush()
            self._drawn = True
        elif (text, int(progress * 10)) != self._last:
            print(f"{progress:4.0%}  {text}{left}", file=self._stream, flush=True)
        self._last = (text, int(progress * 10))

    def close(self) -> None:
        """Erase the bar."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns + len("\r\x1b[K") - 1
        except OSError:
            return 80

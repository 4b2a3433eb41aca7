"""What people see: tables, fields, a bar, a little colour where a terminal shows it."""

import os
import re
import sys
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TextIO

from mesh.wire.amounts import size_text

Cell = str | tuple[str, str]
"""A text, or a text and its style."""

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_STYLING = re.compile(r"\x1b\[[0-9;]*m")
_BAR_WIDTH = 24
_GAP = "  "
_SHORTEST = 8
"""Columns to which a long text in a table is cut at most."""
_NARROWEST = 24
"""Columns below which a long value does not go on under itself but further to the left."""


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
    """The columns that `text` takes: wide characters count twice, combining ones and styles not at all."""
    if text.isascii():
        return len(text) if "\x1b" not in text else len(_STYLING.sub("", text))
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in _STYLING.sub("", text)
    )


def columns(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal behind `stream` (standard output); None where there is none."""
    stream = stream or sys.stdout
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError):
        return None


def wrapped(text: str, fits: int | None, indent: str = "") -> str:
    """`text` broken between words into lines of at most `fits` columns; the later ones begin with `indent`.

    The first line is counted as if it began with as much. A word that fits nowhere stays whole.
    """
    if fits is None or width(text) <= fits - len(indent):
        return text
    lines: list[str] = []
    for word in text.split(" "):
        if lines and width(lines[-1]) + 1 + width(word) <= fits - len(indent):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return f"\n{indent}".join(line.rstrip() for line in lines)


def cut(text: str, fits: int) -> str:
    """`text` in at most `fits` columns, with an ellipsis where something was cut off."""
    if width(text) <= fits:
        return text
    end = len(text)
    while end and width(text[:end]) > fits - 1:
        end -= 1
    return text[:end] + "…"


def table(rows: Sequence[Sequence[Cell]], right: Sequence[int] = (), dispensable: Sequence[str] = ()) -> str:
    """The rows as columns, two spaces apart; the first row is the heading, columns `right` are numbers.

    A terminal that is too narrow gets them without those headed by `dispensable`, the first of these going
    first, and a last line that names them. If that does not do, long texts are cut. A pipe gets everything.
    """
    cells = [[(c, "") if isinstance(c, str) else c for c in row] for row in rows]
    cells = [[(clean(text), style) for text, style in row] for row in cells]
    fits = columns()
    kept = list(range(len(cells[0])))
    left_out: list[str] = []
    for name in dispensable:
        if fits is None or _total(_widths(cells, kept)) <= fits:
            break
        left_out += [name for i in kept if cells[0][i][0] == name]
        kept = [i for i in kept if cells[0][i][0] != name]
    widths = _widths(cells, kept)
    if fits is not None:
        widths = _narrowed(widths, right, fits)
    lines = [_line(row, widths, right, heading=number == 0) for number, row in enumerate(cells)]
    if left_out:
        told = f"not shown: {', '.join(left_out)}; a wider window or --json shows more"
        lines += [paint(line, "dim") for line in wrapped(told, fits).split("\n")]
    return "\n".join(lines)


def _widths(cells: Sequence[Sequence[tuple[str, str]]], kept: Sequence[int]) -> dict[int, int]:
    """By the columns that are kept, how wide each has to be."""
    return {i: max(width(row[i][0]) for row in cells) for i in kept}


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _narrowed(widths: Mapping[int, int], right: Sequence[int], fits: int) -> dict[int, int]:
    """The widths, the widest of those that are no numbers reduced until all fit or are short."""
    narrowed = dict(widths)
    texts = [i for i in narrowed if i not in right]
    while texts and _total(narrowed) > fits:
        widest = max(texts, key=narrowed.__getitem__)
        if narrowed[widest] <= _SHORTEST:
            break
        narrowed[widest] -= 1
    return narrowed


def _line(
    row: Sequence[tuple[str, str]], widths: Mapping[int, int], right: Sequence[int], heading: bool
) -> str:
    parts = []
    for i, wide in widths.items():
        text, style = cut(row[i][0], wide), row[i][1]
        gap = " " * (wide - width(text))
        shown = paint(text, "dim" if heading else style) if text else ""
        parts.append(gap + shown if i in right else shown + gap)
    return _GAP.join(parts).rstrip()


def fields(lines: Sequence[tuple[str, str, str]], indent: str = "", whole: Collection[str] = ()) -> str:
    """A name, its value and the value's style on each line; a long value goes on under itself.

    Values of the names in `whole` are for copying, so that only the terminal breaks them.
    """
    longest = max(width(name) for name, _, _ in lines)
    fits = columns()
    under = indent + " " * (longest + len(_GAP))
    if fits is not None and fits - len(under) < _NARROWEST:
        under = indent + "  "
    shown = []
    for name, value, style in lines:
        text = clean(value) if name in whole else wrapped(clean(value), fits, under)
        head = f"{indent}{paint(name + ' ' * (longest - width(name)), 'dim')}{_GAP}"
        if fits is not None and width(head) + width(text.partition("\n")[0]) > fits and name not in whole:
            aside = indent + _GAP
            head, text = f"{indent}{paint(name, 'dim')}\n{aside}", wrapped(clean(value), fits, aside)
        shown.append(head + "\n".join(_painted(line, style) for line in text.split("\n")))
    return "\n".join(shown)


def _painted(line: str, style: str) -> str:
    """`line` in the style, but for the blanks before it."""
    text = line.lstrip(" ")
    return line[: len(line) - len(text)] + paint(text, style)


def bar(fraction: float) -> str:
    """A progress bar with its percentage; `fraction` is 0..1."""
    fraction = min(1.0, max(0.0, fraction))
    full = int(fraction * _BAR_WIDTH)
    return f"[{'#' * full}{'.' * (_BAR_WIDTH - full)}] {int(fraction * 100):3d} %"


def duration(seconds: float) -> str:
    """A time for people: ``42 s``, ``3 min``, ``24 h``, ``7 d``."""
    for length, unit, upto in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172800)):
        if seconds < upto:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def count(number: int, noun: str) -> str:
    """``1 member``, ``3 members``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _progress(event: Mapping[str, Any]) -> float | None:
    """How far it is, 0..1, if the event says so: by itself, or by bytes that are ``done`` of a ``total``."""
    progress, total = event.get("progress"), event.get("total")
    if progress is None and total:
        progress = event.get("done", 0) / total
    return None if progress is None else float(progress)


def _detail(event: Mapping[str, Any]) -> str:
    """Bytes of bytes, the rate and the time that is left, as far as the event has them."""
    done, total, rate = event.get("done", 0), event.get("total"), event.get("rate")
    eta = event.get("eta_seconds")
    if eta is None and total and rate:
        eta = (total - done) / rate
    parts = [f"{size_text(done)} of {size_text(total)}"] if total else []
    parts += [f"{size_text(round(rate))}/s"] if rate else []
    parts += [f"{duration(eta)} left"] if eta else []
    return "".join(f", {part}" for part in parts)


class ProgressBar:
    """Shows the events of a slow operation: a line each, or a bar that is redrawn in place.

    An event has a ``text`` and, for a bar, ``progress`` (0..1) or ``done`` and ``total`` (bytes); it may tell
    a ``rate`` (bytes a second) and ``eta_seconds``. Without a terminal a bar becomes a plain line at every
    tenth of each state. Everything goes to standard error, so that standard output has the result alone.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._drawn = False
        self._last: tuple[str, int] = ("", -1)

    def show(self, event: Mapping[str, Any]) -> None:
        text = clean(str(event.get("text", "")))
        progress, detail = _progress(event), _detail(event)
        if progress is None:
            self.close()
            if (text, -1) != self._last:
                print(wrapped(text, columns(self._stream), "  "), file=self._stream, flush=True)
            self._last = (text, -1)
            return
        if self._terminal:
            # Of a download, the numbers are worth more than the end of a long name.
            line = f"{detail[2:]}  {text}" if event.get("total") else text + detail
            line = cut(f"{bar(progress)}  {line}", (columns(self._stream) or 80) - 1)
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()
            self._drawn = True
        # Texts that differ in their numbers alone are of one state.
        what = (str(event.get("state", re.sub(r"[\d.]+", "", text))), int(progress * 10))
        if not self._terminal and what != self._last:
            print(f"{progress:4.0%}  {text}{detail}", file=self._stream, flush=True)
        self._last = what

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

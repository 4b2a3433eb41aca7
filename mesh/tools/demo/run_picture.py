"""Draws a run of the demo as an SVG: what was asked and said, when each token came, and who held what. Pure.

The card has a dark ground of its own, so that it is read in light and dark surroundings alike.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from mesh.tools.demo.recorded_run import AnswerPiece, RecordedRun, Share, megabytes

WIDTH: Final = 920
MARGIN: Final = 40
COLUMN: Final = 8.43
"""Pixels of a character at 14 pixels: each text is told its length, whatever the reader's font."""
LINE: Final = 25
COLUMNS: Final = int((WIDTH - 2 * MARGIN) / COLUMN)
LONGEST_TEXT: Final = 1600
"""Characters of an answer and of a question that are drawn."""
SMALL: Final = 12 / 14
"""Of the usual size of letters."""
LONGEST_NAME: Final = 8
LONGEST_HOLDING: Final = 13
RED: Final = "#f85149"
FONTS: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

COLOURS: Final = {
    "asked": "#ffffff",
    "said": "#e6edf3",
    "rest": "#7ee787",
    "kill": "#ff7b72",
    "dim": "#8b949e",
    "step": "#c9d1d9",
    "good": "#3fb950",
}
MACHINES: Final = ("#d2a8ff", "#79c0ff", "#ffa657")


class PlacedText(NamedTuple):
    """A text of a line; ``style`` is a key of `COLOURS`."""

    style: str
    text: str
    column: int


class Drawing:
    """Elements, from top to bottom; ``y`` is where the next one goes."""

    def __init__(self) -> None:
        self.y = 0.0
        self._elements: list[str] = []

    def add(self, element: str) -> None:
        self._elements.append(element)

    def text(
        self, x: float, content: str, colour: str, *, scale: float = 1.0, y: float | None = None
    ) -> float:
        """A text at ``x``, on the line ``y``; where it ends."""
        length = len(content) * COLUMN * scale
        small = ' class="s"' if scale < 1 else ""
        self.add(
            f'<text{small} x="{x:.1f}" y="{self.y if y is None else y:.1f}" fill="{colour}"'
            f' textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs">{escape(printable(content))}</text>'
        )
        return x + length

    def box(self, x: float, y: float, width: float, height: float, fill: str, more: str = "") -> None:
        self.add(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{more}/>'
        )

    def line(self, placed: Sequence["PlacedText"]) -> None:
        """A line of texts in several styles. The kill stands on a ground of its own."""
        for style, content, column in placed:
            x = MARGIN + column * COLUMN
            if style == "kill":
                width = len(content) * COLUMN + 8
                self.box(x - 4, self.y - 15, width, 20, RED, ' fill-opacity=".2" rx="4"')
            self.text(x, content, COLOURS[style])

    def svg(self, title: str) -> str:
        """The whole picture; ``title`` is for those that do not see it."""
        size = f'viewBox="0 0 {WIDTH} {self.y:.0f}" width="{WIDTH}" height="{self.y:.0f}"'
        label = f'role="img" aria-label={quoteattr(printable(title))}'
        ground = f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{self.y - 1:.0f}" rx="12"'
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>',
            f"<style>text{{font:14px {FONTS};white-space:pre}}.s{{font-size:12px}}</style>",
            f'{ground} fill="#0d1117" stroke="#30363d"/>',
        ]
        return "\n".join([*head, *self._elements, "</svg>\n"])


def draw(run: RecordedRun) -> str:
    """The SVG of a run, valid XML of less than 40 KB."""
    drawing = Drawing()
    _title_bar(drawing)
    _steps(drawing, run)
    _answer(drawing, run)
    _time_line(drawing, run)
    _machines(drawing, run)
    drawing.y += 34
    same = "identical to" if run.identical else "other than"
    return drawing.svg(
        f"mesh demo: a model split over {len(run.before)} machines answers; {run.first_leader}, the leader, "
        f"is killed in the middle of a sentence; after {run.pause_seconds:.1f} s the sentence goes on, "
        f"{same} the undisturbed answer."
    )


def _title_bar(drawing: Drawing) -> None:
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        drawing.add(f'<circle cx="{MARGIN + 6 + 20 * number}" cy="24" r="6" fill="{colour}"/>')
    drawing.text((WIDTH - len("mesh demo") * COLUMN) / 2, "mesh demo", COLOURS["dim"], y=29)
    drawing.add(f'<path d="M0 46.5H{WIDTH}" stroke="#21262d"/>')
    drawing.y = 80


def _steps(drawing: Drawing, run: RecordedRun) -> None:
    lent = ", ".join(f"{name} lends {megabytes(size)}" for name, size in run.lent.items())
    for what, how in (
        ("three machines join", lent),
        ("a model is served", f"{run.model}, {megabytes(run.model_bytes)}, split over {_count(run.before)}"),
        ("a question is asked", f"through {run.gateway}, which does not lead; then once more:"),
    ):
        x = drawing.text(MARGIN, "✓", COLOURS["good"])
        drawing.text(x + COLUMN, what, COLOURS["step"])
        drawing.text(MARGIN + 23 * COLUMN, how[: COLUMNS - 23], COLOURS["dim"])
        drawing.y += LINE
    drawing.y += LINE * 0.6


def _answer(drawing: Drawing, run: RecordedRun) -> None:
    for number, line in enumerate(wrap(_words(run.question, "asked"), COLUMNS - 2)):
        drawing.text(MARGIN, ">" if number == 0 else " ", COLOURS["good"])
        drawing.line([placed._replace(column=placed.column + 2) for placed in line])
        drawing.y += LINE
    drawing.y += LINE * 0.3
    mark = f"kill -9 {run.first_leader}, the leader: {run.pause_seconds:.1f} s"
    said = [*_words(run.said_before, "said"), ("kill", mark), *_words(run.said_after, "rest")]
    for line in wrap(said, COLUMNS):
        drawing.line(line)
        drawing.y += LINE
    drawing.y += LINE * 0.3
    if run.identical:
        count = len(run.text)
        drawing.text(MARGIN, "=", COLOURS["good"])
        x = drawing.text(MARGIN + 2 * COLUMN, "identical to the undisturbed answer", COLOURS["good"])
        drawing.text(x + COLUMN, f"({count} of {count} characters)", COLOURS["dim"])
    else:
        text = f"! differs from the undisturbed answer after {run.same_characters} characters"
        drawing.text(MARGIN, text, COLOURS["kill"])
    drawing.y += LINE * 1.8


def _words(text: str, style: str) -> list[tuple[str, str]]:
    return [(style, word) for word in text[:LONGEST_TEXT].split()]


def wrap(words: Iterable[tuple[str, str]], columns: int) -> list[list[PlacedText]]:
    """Lines of at most so many columns, of words with their styles. A longer word is cut."""
    lines: list[list[PlacedText]] = [[]]
    used = 0
    for style, word in words:
        text = word[:columns]
        if used and used + 1 + len(text) > columns:
            lines.append([])
            used = 0
        column = used + 1 if used else 0
        line = lines[-1]
        if line and line[-1].style == style:
            line[-1] = line[-1]._replace(text=f"{line[-1].text} {text}")
        else:
            line.append(PlacedText(style, text, column))
        used = column + len(text)
    return lines


def _time_line(drawing: Drawing, run: RecordedRun) -> None:
    """A row of ticks for each answer, a tick a token, and the pause between them."""
    left, right = MARGIN + 15 * COLUMN, WIDTH - MARGIN
    end = max(piece.seconds for piece in (*run.undisturbed, *run.disturbed)) or 1.0

    def at(seconds: float) -> float:
        return left + (right - left) * seconds / end

    drawing.text(MARGIN, "undisturbed", COLOURS["dim"], scale=SMALL)
    _ticks(drawing, run.undisturbed, at, COLOURS["said"])
    drawing.y += LINE * 1.2
    begin, resumed = run.pause
    drawing.text(MARGIN, f"{run.first_leader} killed", COLOURS["dim"], scale=SMALL)
    _ticks(drawing, run.disturbed[: run.killed_after], at, COLOURS["said"])
    _ticks(drawing, run.disturbed[run.killed_after :], at, COLOURS["rest"])
    x, width = at(begin) + 3, max(at(resumed) - at(begin) - 4, 1)
    drawing.box(x, drawing.y - 13, width, 17, RED, ' fill-opacity=".16" rx="3"')
    label = f"{run.pause_seconds:.1f} s"
    if width > (len(label) + 2) * COLUMN * SMALL:
        middle = x + (width - len(label) * COLUMN * SMALL) / 2
        drawing.text(middle, label, COLOURS["kill"], scale=SMALL)
    drawing.add(f'<path d="M{at(run.killed_seconds) + 2:.1f} {drawing.y - 17:.1f}v25" stroke="{RED}"/>')
    drawing.y += LINE * 0.9
    drawing.add(f'<path d="M{left:.1f} {drawing.y - 11:.1f}H{right}" stroke="#30363d"/>')
    every = next((step for step in (1, 2, 5, 10, 30, 60) if end / step <= 12), 300)
    for seconds in range(0, int(end) + 1, every):
        drawing.add(f'<path d="M{at(seconds):.1f} {drawing.y - 11:.1f}v4" stroke="#30363d"/>')
        drawing.text(at(seconds), f"{seconds} s", COLOURS["dim"], scale=SMALL, y=drawing.y + 7)
    drawing.y += LINE * 2


def _ticks(
    drawing: Drawing, pieces: Sequence[AnswerPiece], at: Callable[[float], float], colour: str
) -> None:
    if pieces:
        path = "".join(f"M{at(piece.seconds):.1f} {drawing.y - 12:.1f}v15" for piece in pieces)
        drawing.add(f'<path d="{path}" stroke="{colour}" stroke-width="1.6"/>')


def _machines(drawing: Drawing, run: RecordedRun) -> None:
    """For each machine a row of its layers, before the kill and after."""
    middle = WIDTH / 2 + 12
    half = WIDTH / 2 - MARGIN - 12
    layers = 1 + max((share.layers[1] for share in (*run.before, *run.after) if share.layers), default=0)
    drawing.text(MARGIN, "layers before", COLOURS["dim"], scale=SMALL)
    drawing.text(middle, "and after", COLOURS["dim"], scale=SMALL)
    for number, name in enumerate(run.lent):
        drawing.y += LINE * 1.15
        colour = MACHINES[number % len(MACHINES)]
        for x, shares in ((MARGIN, run.before), (middle, run.after)):
            share = next((share for share in shares if share.name == name), None)
            dead = shares is run.after and name == run.first_leader
            drawing.text(x, name[:LONGEST_NAME], COLOURS["dim"] if dead else colour, scale=SMALL)
            strip = x + (LONGEST_NAME + 1) * COLUMN * SMALL
            width = half - (LONGEST_NAME + 1 + LONGEST_HOLDING) * COLUMN * SMALL
            _strip(drawing, strip, width, layers, share, colour)
            says, style = ("killed", "kill") if dead else (_holding(share), "dim")
            drawing.text(strip + width + COLUMN, says, COLOURS[style], scale=SMALL)


def _strip(drawing: Drawing, x: float, width: float, layers: int, share: Share | None, colour: str) -> None:
    """A cell for each layer; those that are held are filled."""
    cell = width / layers
    held = range(share.layers[0], share.layers[1] + 1) if share is not None and share.layers else range(0)
    for fill, numbers in (("#21262d", [one for one in range(layers) if one not in held]), (colour, held)):
        path = "".join(
            f"M{x + one * cell:.1f} {drawing.y - 10:.1f}h{cell - 1.2:.1f}v11h-{cell - 1.2:.1f}z"
            for one in numbers
        )
        if path:
            drawing.add(f'<path d="{path}" fill="{fill}"/>')


def _holding(share: Share | None) -> str:
    if share is None or share.layers is None:
        return "leads" if share is not None and share.leads else "-"
    return "{}-{}{}".format(*share.layers, ", leads" if share.leads else "")


def _count(shares: Sequence[Share]) -> str:
    """How many machines hold layers."""
    count = sum(share.layers is not None for share in shares)
    return {1: "one", 2: "two", 3: "three"}.get(count, str(count))


def printable(text: str) -> str:
    """Without what XML has no place for."""
    return "".join(character if character.isprintable() else "?" for character in text)

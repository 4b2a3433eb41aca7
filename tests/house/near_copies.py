"""``python -m tests.house.near_copies``: passages that stand twice but for some of their names.

Two passages are near-copies when six statements and more in a row are equal once every name, number and
text in them is left out, and most of these are the same too, place by place. Comments, docstrings and the
breaking of lines do not count. What declares (imports, classes, functions, fields, attributes that keep an
argument or a part of one) is alike in shape only, so a passage ends there.
"""

from __future__ import annotations

import io
import keyword
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.house.tree import files_of_tests, name, sources

LEAST_STATEMENTS = 6
ALIKE = 0.5
"""The share of names, numbers and texts that must be the same."""
_LAYOUT = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER})
_DECLARES = frozenset({"import", "from", "class", "def", "@"})


class Statement(NamedTuple):
    """A statement, or the head of one that has a block."""

    line: int
    shape: tuple[str, ...]
    words: tuple[str, ...]


class Place(NamedTuple):
    """A statement of a file: its number among all of them."""

    file: str
    statements: list[Statement]
    at: int

    @property
    def line(self) -> int:
        return self.statements[self.at].line


class Copy(NamedTuple):
    """Two passages that are nearly the same; the lines are their first ones."""

    length: int
    first: str
    first_line: int
    second: str
    second_line: int

    def __str__(self) -> str:
        return (
            f"{self.length} statements: {self.first}:{self.first_line} and {self.second}:{self.second_line}"
        )


def near_copies(files: Iterable[Path]) -> list[Copy]:
    """All pairs of passages of ``LEAST_STATEMENTS`` and more, the longest first."""
    alike: dict[tuple[tuple[str, ...], ...], list[Place]] = defaultdict(list)
    for path in files:
        statements = _statements(name(path), path.read_text(encoding="utf-8"))
        for at in range(len(statements) - LEAST_STATEMENTS + 1):
            shape = tuple(statement.shape for statement in statements[at : at + LEAST_STATEMENTS])
            alike[shape].append(Place(name(path), statements, at))
    found = [
        copy
        for places in alike.values()
        for index, one in enumerate(places)
        for other in places[index + 1 :]
        if (copy := _copy(one, other)) is not None
    ]
    return sorted(found, reverse=True)


def _copy(one: Place, other: Place) -> Copy | None:
    """The whole passage that begins at both places; None when it begins before them, or its words differ."""
    mine, theirs = one.statements, other.statements
    if one.at and other.at and mine[one.at - 1].shape == theirs[other.at - 1].shape:
        return None
    length = 0
    for here, there in zip(mine[one.at :], theirs[other.at :], strict=False):
        if here.shape != there.shape:
            break
        length += 1
    if mine is theirs and other.at - one.at < length:
        return None  # a row of like statements, shifted against itself
    pairs = [
        pair
        for here, there in zip(mine[one.at : one.at + length], theirs[other.at :], strict=False)
        for pair in zip(here.words, there.words, strict=True)
    ]
    if sum(here == there for here, there in pairs) < ALIKE * len(pairs):
        return None
    return Copy(length, one.file, one.line, other.file, other.line)


def _statements(file: str, source: str) -> list[Statement]:
    statements = []
    shape: list[str] = []
    words: list[str] = []
    line = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NEWLINE:
            if shape != ["STRING"]:
                ending = (f"{file}:{line}",)  # equal to nothing
                statements.append(Statement(line, ending if _declares(shape) else tuple(shape), tuple(words)))
            shape, words = [], []
        elif token.type not in _LAYOUT:
            line = line if shape else token.start[0]
            if token.type == tokenize.OP or keyword.iskeyword(token.string):
                shape.append(token.string)
            else:
                shape.append(tokenize.tok_name[token.type])
                words.append(token.string)
    return statements


def _declares(shape: list[str]) -> bool:
    if shape[:3] == ["NAME", ".", "NAME"]:
        return shape[3:4] == [":"] or shape[3:] in (["=", "NAME"], ["=", "NAME", ".", "NAME"])
    return shape[0] in _DECLARES or shape[:2] in (["async", "def"], ["NAME", ":"])


def main() -> int:
    """Print those of the sources; with ``--tests`` those of the tests too."""
    found = near_copies([*sources(), *(files_of_tests() if "--tests" in sys.argv[1:] else ())])
    print(*found, f"{len(found)} near-copies", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Regular expressions of schemas, read as the engine reads them, to measure the grammar that becomes of them.
Pure.

Of patterns that the engine has no grammar for (not between ``^`` and ``$``, classes as ``\\d``, lookaround)
it takes any string; they cost nothing.
"""

import re

from leader.door.grammars.char_sets import ANY, Chars, merged, without
from leader.door.grammars.gbnf import repetition
from leader.door.grammars.grammar_growth import Growth
from leader.door.grammars.grammar_rules import Effort, Rules, Sequence, Symbol
from leader.door.orders import Unacceptable

MOST_CHARACTERS = 1024
MOST_GROUPS = 64

_TOKEN = re.compile(
    r"(?P<set>\[(?:[^\]\\]|\\.)*\])|(?P<open>\((?:\?:)?)|(?P<times>\{[^}]*\})|(?P<escaped>\\.)"
    r"|(?P<sign>[)|*+?.])|(?P<plain>[^\[\](){}|*+?.^$\\])",
    re.DOTALL,
)
_ESCAPED_ALIKE = set('^$.[]()|{}*+?\\"-trnxuU')


def check_pattern(pattern: str, field: str, effort: Effort) -> None:
    """Unacceptable where the engine's grammar of a pattern would keep it from answering."""
    if len(pattern) > MOST_CHARACTERS:
        raise Unacceptable(field, f"must have at most {MOST_CHARACTERS} characters")
    if pattern in effort.passed or len(pattern) < 2 or pattern[0] != "^" or pattern[-1] != "$":
        return
    effort.spend(8 * len(pattern), field)
    reader = _PatternReader(pattern[1:-1], field)
    try:
        reader.read()
    except _AnyString:
        return
    Growth(reader.rules, field, effort=effort).check()
    effort.passed.add(pattern)


class _AnyString(Exception):
    """The engine has no grammar for this pattern, or refuses it itself."""


class _PatternReader:
    """Groups become rules; so does what is repeated."""

    def __init__(self, source: str, field: str) -> None:
        self._field = field
        self._source = source
        self._at = 0
        self.rules: Rules = []

    def read(self) -> None:
        """The whole pattern, as the last rule."""
        rule = self._alternatives(0)
        if self._at < len(self._source):
            raise _AnyString
        self.rules.append(rule)

    def _alternatives(self, groups: int) -> tuple[Sequence, ...]:
        if groups > MOST_GROUPS:
            raise Unacceptable(self._field, f"has more than {MOST_GROUPS} groups in each other")
        found: list[list[Symbol]] = [[]]
        while self._at < len(self._source):
            match = _TOKEN.match(self._source, self._at)
            if match is None:
                raise _AnyString
            kind, word = str(match.lastgroup), match.group()
            if word == ")":
                break
            self._at = match.end()
            if word == "|":
                found.append([])
            elif kind == "times" or word in ("*", "+", "?"):
                self._repeat(found[-1], word)
            else:
                found[-1].append(self._symbol(kind, word, groups))
        return tuple(map(tuple, found))

    def _repeat(self, sequence: list[Symbol], word: str) -> None:
        if not sequence:
            raise _AnyString
        low, high = self._bounds(word)
        last = sequence.pop()
        if (last.low, last.high) != (1, 1):
            self.rules.append(((last,),))
            last = Symbol(rule=len(self.rules) - 1)
        sequence.append(last.times(low, high))

    def _bounds(self, word: str) -> tuple[int, int | None]:
        if word in "*+?":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[word]
        parts = word[1:-1].split(",")
        # As std::stoi does, a number is what the text begins with.
        numbers = [re.match(r"\s*[+-]?\d+", part) for part in parts]
        if len(parts) > 2 or any(match is None for match, part in zip(numbers, parts, strict=True) if part):
            raise _AnyString
        words = ["" if match is None else match.group().strip().lstrip("+") for match in numbers]
        if any(each.startswith("-") for each in words):
            raise Unacceptable(self._field, "has a repetition below nought")
        return repetition(words[0], words[-1], self._field)

    def _symbol(self, kind: str, word: str, groups: int) -> Symbol:
        if kind == "open":
            if self._source[self._at : self._at + 1] == "?":
                raise _AnyString
            rule = self._alternatives(groups + 1)
            if self._source[self._at : self._at + 1] != ")":
                raise _AnyString
            self._at += 1
            self.rules.append(rule)
            return Symbol(rule=len(self.rules) - 1)
        if kind == "set":
            return Symbol(chars=_set(word[1:-1]))
        if kind == "escaped":
            if word[1] not in _ESCAPED_ALIKE:
                raise _AnyString
            # An escape by number may be any character: that errs on the safe side.
            return Symbol(chars=ANY if word[1] in "xuU" else _only(_code(word)))
        return Symbol(chars=ANY if word == "." else _only(ord(word)))


def _only(code: int) -> Chars:
    return ((code, code),)


def _code(escaped: str) -> int:
    return {"t": 9, "r": 13, "n": 10}.get(escaped[1], ord(escaped[1]))


def _set(inside: str) -> Chars:
    if not inside or inside == "^":
        raise _AnyString
    negated = inside.startswith("^")
    ranges, codes = [], []
    for match in re.finditer(r"\\.|.", inside[negated:], re.DOTALL):
        word = match.group()
        if len(word) > 1 and word[1] not in _ESCAPED_ALIKE:
            raise _AnyString
        if len(word) > 1 and word[1] in "xuU":
            return ANY
        codes.append(_code(word) if len(word) > 1 else -1 if word == "-" else ord(word))
    at = 0
    while at < len(codes):
        if at + 2 < len(codes) and codes[at + 1] == -1:
            ranges.append((codes[at], codes[at + 2]))
            at += 3
        else:
            code = codes[at] if codes[at] >= 0 else ord("-")
            ranges.append((code, code))
            at += 1
    return without(ranges) if negated else merged(ranges)

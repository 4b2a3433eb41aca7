"""llama.cpp's grammars (GBNF), read far enough to measure them. Pure.

What the engine would not take is refused here too, or is read as something that is no smaller: the measures
count, not the words of the error.
"""

import re

from leader.door.grammars.char_sets import ANY, Chars, merged, without
from leader.door.grammars.grammar_growth import MOST_ELEMENTS, MOST_REPEATS, Growth
from leader.door.grammars.grammar_rules import Rules, Sequence, Symbol
from leader.door.orders import Unacceptable

MOST_CHARACTERS = 65_536
MOST_WORDS = 8192
MOST_BRACKETS = 64

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\r\n]*)
    |(?P<name>[A-Za-z0-9-]+)
    |(?P<is>::=)
    |(?P<literal>"(?:[^"\\]|\\.)*")
    |(?P<set>\[(?:[^\]\\]|\\.)*\])
    |(?P<token>!?<[^>]*>)
    |(?P<times>\{[ \t\r\n]*[0-9]+[ \t\r\n]*(?:,[ \t\r\n]*[0-9]*[ \t\r\n]*)?\})
    |(?P<sign>[()|*+?.])""",
    re.VERBOSE | re.DOTALL,
)
_CHARACTER = re.compile(r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\.|.", re.DOTALL)
_ESCAPES = {"\\t": 9, "\\r": 13, "\\n": 10}
_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def check_grammar(source: str, field: str) -> None:
    """Unacceptable where a grammar is none, or would keep the engine from answering."""
    if len(source) > MOST_CHARACTERS:
        raise Unacceptable(field, f"must have at most {MOST_CHARACTERS} characters")
    Growth(_Reader(source, field).read(), field).check()


class _Reader:
    """Reads rules; the alternatives of brackets become rules of their own, as in the engine."""

    def __init__(self, source: str, field: str) -> None:
        self._field = field
        self._tokens = self._cut(source)
        self._at = 0
        self._numbers: dict[str, int] = {}
        self._rules: list[tuple[Sequence, ...] | None] = []
        self._characters = 0

    def _cut(self, source: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while at < len(source):
            match = _TOKEN.match(source, at)
            if match is None:
                raise Unacceptable(self._field, f"is no grammar at character {at}")
            if match.lastgroup != "space":
                tokens.append((str(match.lastgroup), match.group()))
                if len(tokens) > MOST_WORDS:
                    raise Unacceptable(
                        self._field, f"must have at most {MOST_WORDS} names, literals and signs"
                    )
            at = match.end()
        return tokens

    def read(self) -> Rules:
        """All rules. A name followed by ``::=`` begins the next one, wherever it stands."""
        while self._at < len(self._tokens):
            if self._kind(0) != "name" or self._kind(1) != "is":
                raise Unacceptable(self._field, "must be rules of the form name ::= ...")
            number = self._number(self._tokens[self._at][1])
            self._at += 2
            self._rules[number] = self._alternatives(0)
        if "root" not in self._numbers:
            raise Unacceptable(self._field, "must have a rule called root")
        rules: Rules = []
        for rule in self._rules:
            if rule is None:
                raise Unacceptable(self._field, "refers to a rule that it does not have")
            rules.append(rule)
        return rules

    def _kind(self, ahead: int) -> str:
        at = self._at + ahead
        return self._tokens[at][0] if at < len(self._tokens) else ""

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = self._made(None)
        return self._numbers[name]

    def _made(self, rule: tuple[Sequence, ...] | None) -> int:
        self._rules.append(rule)
        return len(self._rules) - 1

    def _alternatives(self, brackets: int) -> tuple[Sequence, ...]:
        found = [self._sequence(brackets)]
        while self._next() == "|":
            self._at += 1
            found.append(self._sequence(brackets))
        return tuple(found)

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._kind(0) == "sign" else ""

    def _sequence(self, brackets: int) -> Sequence:
        items: list[list[Symbol]] = []
        while self._at < len(self._tokens):
            kind, word = self._tokens[self._at]
            if kind in ("is",) or word in ("|", ")") or (kind == "name" and self._kind(1) == "is"):
                break
            self._at += 1
            if kind == "times" or word in ("*", "+", "?"):
                if not items or not items[-1]:
                    raise Unacceptable(self._field, "repeats what is not there")
                low, high = self._bounds(word)
                items[-1] = [self._one(items[-1]).times(low, high)]
            else:
                items.append(self._item(kind, word, brackets))
        return tuple(symbol for item in items for symbol in item)

    def _item(self, kind: str, word: str, brackets: int) -> list[Symbol]:
        if kind == "name":
            return [Symbol(rule=self._number(word))]
        if kind == "literal":
            codes = self._codes(word[1:-1])
            return [Symbol(chars=((code, code),)) for code in codes]
        if kind == "set":
            return [Symbol(chars=self._set(word[1:-1]))]
        if word == "(":
            return [Symbol(rule=self._bracket(brackets + 1))]
        # Any character, or a token: it may be any text.
        return [Symbol(chars=ANY)]

    def _bracket(self, brackets: int) -> int:
        if brackets > MOST_BRACKETS:
            raise Unacceptable(self._field, f"has more than {MOST_BRACKETS} brackets in each other")
        number = self._made(())
        self._rules[number] = self._alternatives(brackets)
        if self._next() != ")":
            raise Unacceptable(self._field, "has a bracket that is not closed")
        self._at += 1
        return number

    def _one(self, item: list[Symbol]) -> Symbol:
        """What stands before a sign of repetition, as one symbol."""
        if len(item) == 1 and (item[0].low, item[0].high) == (1, 1):
            return item[0]
        return Symbol(rule=self._made((tuple(item),)))

    def _bounds(self, word: str) -> tuple[int, int | None]:
        if word in _REPEATS:
            return _REPEATS[word]
        low, comma, high = word.strip("{}").partition(",")
        return repetition(low, high if comma else low, self._field)

    def _set(self, inside: str) -> Chars:
        negated = inside.startswith("^")
        codes = self._codes(inside[negated:], dashes=True)
        ranges, at = [], 0
        while at < len(codes):
            if at + 2 < len(codes) and codes[at + 1] == _DASH:
                ranges.append((codes[at], codes[at + 2]))
                at += 3
            else:
                code = codes[at] if codes[at] != _DASH else ord("-")
                ranges.append((code, code))
                at += 1
        if not ranges or any(low > high for low, high in ranges):
            raise Unacceptable(self._field, "has a set of no characters")
        return without(ranges) if negated else merged(ranges)

    def _codes(self, inside: str, dashes: bool = False) -> list[int]:
        codes = []
        for match in _CHARACTER.finditer(inside):
            one = match.group()
            if len(one) == 1:
                codes.append(_DASH if dashes and one == "-" else ord(one))
            elif one in _ESCAPES:
                codes.append(_ESCAPES[one])
            else:
                codes.append(int(one[2:], 16) if len(one) > 2 else ord(one[1]))
        self._characters += len(codes)
        if self._characters > MOST_ELEMENTS:
            raise Unacceptable(self._field, f"has more than {MOST_ELEMENTS} characters in its literals")
        return codes


_DASH = -1
"""A dash that may make a range, unlike an escaped one."""


def repetition(low: str, high: str, field: str) -> tuple[int, int | None]:
    """The bounds in ``{low,high}``. The engine never ends where the second is below the first."""
    low, high = low.strip(), high.strip()
    if len(low) > 9 or len(high) > 9:
        raise Unacceptable(field, "has a repetition of too many digits")
    least = int(low) if low else 0
    most = int(high) if high else None
    if least > MOST_REPEATS:
        raise Unacceptable(field, f"repeats something more than {MOST_REPEATS} times")
    if most is not None and most < least:
        raise Unacceptable(field, "has a repetition whose end is below its beginning")
    return least, None if most is not None and most > MOST_REPEATS else most

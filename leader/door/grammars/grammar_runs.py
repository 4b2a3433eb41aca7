"""In how many ways a grammar reads the same text. Pure.

The engine tries every way in which a token may be read, to its end, before it refuses the token. Most tokens
are short; the long ones are runs of a space, a dash, a line. So what costs are rules that read a run in many
ways: ``(a+)+``, ``a* a* a*``, ``(a | a)*``; and those that read shorter texts in very many.
"""

from collections.abc import Iterable
from typing import NamedTuple

from leader.door.grammars.char_sets import overlap
from leader.door.grammars.grammar_rules import Effort, Rules, Sequence, Symbol
from leader.door.orders import Unacceptable

LONGEST = 32
WORST = 16
"""Characters of any other token."""
MOST_TRIED = 8
MOST_READINGS = 20_000

_END = -1


class _Place(NamedTuple):
    """A symbol of a sequence, and the place that follows the sequence."""

    sequence: Sequence
    at: int
    then: int


class Runs:
    """Follows runs through a grammar, as the engine does, and counts the readings."""

    def __init__(self, rules: Rules, name: str, effort: Effort) -> None:
        self._rules = rules
        self._name = name
        self._effort = effort
        self._places: list[_Place] = []
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._turned: dict[Symbol, tuple[Sequence, Sequence]] = {}
        self._next: dict[int, tuple[int, ...]] = {}

    def check(self, symbol: Symbol, points: Iterable[int]) -> None:
        """Unacceptable where ``symbol`` reads a run of one of these characters in too many ways."""
        start = self._place((symbol,), 0, _END)
        for point in points:
            readings = dict.fromkeys(self._beginnings(start), 1)
            for _ in range(LONGEST):
                readings = self._read(readings, point)
                self._bound(readings)
        self._follow_worst(dict.fromkeys(self._beginnings(start), 1))

    def _follow_worst(self, readings: dict[int, int]) -> None:
        """Follow a text of which each next character leaves the most readings."""
        for _ in range(WORST):
            sets = [self._places[number] for number in readings]
            points = sorted({low for place in sets for low, _ in place.sequence[place.at].chars[:2]})
            following = [self._read(readings, point) for point in points[:MOST_TRIED]]
            readings = max(following, key=lambda each: sum(each.values()), default={})
            self._bound(readings)

    def _bound(self, readings: dict[int, int]) -> None:
        if sum(readings.values()) > MOST_READINGS:
            raise Unacceptable(self._name, "reads the same text in too many ways")

    def _read(self, readings: dict[int, int], point: int) -> dict[int, int]:
        after: dict[int, int] = {}
        for number, times in readings.items():
            place = self._places[number]
            if overlap(place.sequence[place.at].chars, ((point, point),)):
                following = self._beginnings(self._place(place.sequence, place.at + 1, place.then))
                self._effort.spend(len(following) + 1, self._name)
                for each in following:
                    after[each] = after.get(each, 0) + times
        return after

    def _place(self, sequence: Sequence, at: int, then: int) -> int:
        if at == len(sequence):
            return then
        # The places hold on to the sequences, so that none takes another's identity.
        key = (id(sequence), at, then)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._places)
            self._places.append(_Place(sequence, at, then))
        return number

    def _beginnings(self, place: int) -> tuple[int, ...]:
        """The places of characters that may come next at a place."""
        known = self._next.get(place)
        if known is not None:
            return known
        found: list[int] = []
        seen: set[int] = {_END}
        waiting = [place]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            sequence, at, then = self._places[number]
            symbol = sequence[at]
            self._effort.spend(1, self._name)
            if (symbol.low, symbol.high) != (1, 1):
                waiting += self._turns(symbol, self._place(sequence, at + 1, then))
            elif symbol.rule < 0:
                found.append(number)
            else:
                after = self._place(sequence, at + 1, then)
                self._effort.spend(len(self._rules[symbol.rule]), self._name)
                waiting += [self._place(each, 0, after) for each in self._rules[symbol.rule]]
        self._next[place] = tuple(found)
        return self._next[place]

    def _turns(self, symbol: Symbol, after: int) -> list[int]:
        if symbol not in self._turned:
            high = None if symbol.high is None else symbol.high - 1
            rest: Sequence = () if high == 0 else (symbol.times(max(symbol.low - 1, 0), high),)
            self._turned[symbol] = ((symbol.times(1, 1),), rest)
        once, rest = self._turned[symbol]
        places = [after] if symbol.low == 0 else []
        if symbol.high != 0:
            places.append(self._place(once, 0, self._place(rest, 0, after)))
        return places

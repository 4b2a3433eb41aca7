"""What a field of a request may be, and how an object is written anew from the fields that are known. Pure.

A *rule* takes a value, the name of its field and the engine's facts. It gives the value for the engine, or
None where the field is left out, and raises Unacceptable, which names the field.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leader.door.orders import EngineFacts, Unacceptable

Rule = Callable[[Any, str, EngineFacts], Any]

MOST_DROPPED = 32
MOST_NAME = 64
INT32 = 2**31 - 1
MOST_NESTED = 64

_INDEX = re.compile(r"\.[0-9]+")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)
"""Strings are passed over; the last may lack its end."""


class Dropped:
    """Names of the fields that the engine does not get, each kind of place once, bounded, in plain ASCII."""

    def __init__(self) -> None:
        self._places: set[tuple[str, str]] = set()
        self.names: list[str] = []

    def add(self, name: str, place: str = "", index: int | None = None) -> None:
        """``name`` of the object at ``place``; of a list's objects the first with it is named."""
        kind = (_INDEX.sub(".*", place), name)
        if len(self.names) >= MOST_DROPPED or kind in self._places:
            return
        self._places.add(kind)
        where = place if index is None else f"{place}.{index}"
        self.names.append(_printable(f"{where}.{name}" if where else name))


def _printable(name: str) -> str:
    """Never empty: a header that ended with nothing behind a comma would be none."""
    return "".join(one if "!" <= one <= "~" and one not in ',;"' else "?" for one in name[:MOST_NAME]) or "?"


def rebuilt(
    given: Mapping[str, Any],
    rules: Mapping[str, Rule],
    facts: EngineFacts,
    dropped: Dropped,
    place: str = "",
    index: int | None = None,
) -> dict[str, Any]:
    """A new object of the fields that have a rule. null is absent, as to the engine."""
    built = {}
    prefix = "" if not place else f"{place}." if index is None else f"{place}.{index}."
    for name, value in given.items():
        if value is None:
            continue
        rule = rules.get(name)
        if rule is None:
            dropped.add(name, place, index)
        elif (kept := rule(value, prefix + name, facts)) is not None:
            built[name] = kept
    return built


# --- rules for single values


def boolean(value: Any, field: str, facts: EngineFacts) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Unacceptable(field, "must be true or false")
    return value


def whole(low: int, high: int, clamped: bool = False) -> Rule:
    """A whole number from ``low`` to ``high``; ``clamped`` takes others as the nearest, as the engine."""

    def rule(value: Any, field: str, facts: EngineFacts) -> int:
        number = _whole(value, field)
        if clamped:
            return min(max(number, low), high)
        if not low <= number <= high:
            raise Unacceptable(field, f"must be from {low} to {high}")
        return number

    return rule


def _whole(value: Any, field: str) -> int:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise Unacceptable(field, "must be a whole number")
    return value


def within_context(value: Any, field: str, facts: EngineFacts) -> int:
    """How many tokens to look back on: no more than there can be, for the engine makes room for each."""
    number = _whole(value, field)
    if not 0 <= number <= INT32:
        raise Unacceptable(field, f"must be from 0 to {INT32}")
    return min(number, facts.context)


def number(low: float, high: float, clamped: bool = False) -> Rule:
    """A finite number from ``low`` to ``high``; ``clamped`` takes others as the nearest."""

    def rule(value: Any, field: str, facts: EngineFacts) -> float:
        if type(value) not in (int, float) or not _finite(value):
            raise Unacceptable(field, "must be a finite number")
        if clamped:
            return float(min(max(value, low), high)) if not low <= value <= high else float(value)
        if not low <= value <= high:
            raise Unacceptable(field, f"must be from {low:g} to {high:g}")
        return float(value)

    return rule


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def text(most: int) -> Rule:
    """A string of at most ``most`` characters."""

    def rule(value: Any, field: str, facts: EngineFacts) -> str:
        if not isinstance(value, str):
            raise Unacceptable(field, "must be a string")
        if len(value) > most:
            raise Unacceptable(field, f"must have at most {most} characters")
        return value

    return rule


def one_of(*names: str) -> Rule:
    """One of these strings."""

    def rule(value: Any, field: str, facts: EngineFacts) -> str:
        if not isinstance(value, str) or value not in names:
            raise Unacceptable(field, f"must be one of {', '.join(names)}")
        return value

    return rule


def texts(count: int, most: int) -> Rule:
    """A list of at most ``count`` strings of at most ``most`` characters each."""

    def rule(value: Any, field: str, facts: EngineFacts) -> list[str]:
        items = a_list(value, field, count)
        if any(not isinstance(item, str) or len(item) > most for item in items):
            raise Unacceptable(field, f"must hold strings of at most {most} characters")
        return items

    return rule


def engines_own(*neutral: object) -> Rule:
    """A field of the engine's inner workings: only values that change nothing are put up with."""

    def rule(value: Any, field: str, facts: EngineFacts) -> None:
        if not any(type(value) is type(one) and value == one for one in neutral):
            raise Unacceptable(field, "is the engine's own; leave it out")

    return rule


# --- shapes


def a_list(value: Any, field: str, most: int) -> list[Any]:
    """``value`` if it is a list of at most ``most`` items."""
    if not isinstance(value, list):
        raise Unacceptable(field, "must be a list")
    if len(value) > most:
        raise Unacceptable(field, f"must have at most {most} items")
    return value


def an_object(value: Any, field: str) -> dict[str, Any]:
    """``value`` if it is an object."""
    if not isinstance(value, dict):
        raise Unacceptable(field, "must be an object")
    return value


def are_tokens(values: Sequence[Any]) -> bool:
    """Whether these are ids of tokens, as far as one can tell without the model. Quick for a million."""
    return set(map(type, values)) == {int} and min(values) >= 0 and max(values) <= INT32


def nesting(value: str) -> int:
    """How deep the brackets of a string of JSON stand in each other; not much of it need be JSON."""
    depth = deepest = 0
    if value.count("[") + value.count("{") > MOST_NESTED:
        for match in _BRACKETS.finditer(value):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
            deepest = max(deepest, depth)
            if deepest > MOST_NESTED:
                break
    return deepest

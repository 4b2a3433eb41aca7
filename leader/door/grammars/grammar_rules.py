"""A grammar, taken apart: rules of alternatives, alternatives of symbols. Pure."""

from dataclasses import dataclass, field, replace

from leader.door.grammars.char_sets import NONE, Chars
from leader.door.orders import Unacceptable


@dataclass(frozen=True, slots=True)
class Symbol:
    """A character of a set, or, with ``rule``, what that rule says; ``low`` to ``high`` times."""

    chars: Chars = NONE
    rule: int = -1
    low: int = 1
    high: int | None = 1

    def times(self, low: int, high: int | None) -> "Symbol":
        """This symbol, repeated."""
        return replace(self, low=low, high=high)


Sequence = tuple[Symbol, ...]
Rules = list[tuple[Sequence, ...]]
"""Each rule's alternatives; the first rule is not special."""


MOST_EFFORT = 20_000


@dataclass(slots=True)
class Effort:
    """What looking at the grammars of one request may cost us, in small steps."""

    left: int = MOST_EFFORT
    passed: set[str] = field(default_factory=set)
    """Patterns that were looked at: agents send one with each of a hundred tools."""

    def spend(self, steps: int, name: str) -> None:
        """Unacceptable when it is used up: what is so hard to look at is hard for the engine as well."""
        self.left -= steps
        if self.left < 0:
            raise Unacceptable(name, "is too intricate, or makes the grammars of the request so together")

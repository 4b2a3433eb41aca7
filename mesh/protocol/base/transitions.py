"""State machines from a table of transitions: an event that the table does not list is an error."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransition(Exception):
    """The code took a transition that its table does not list: a mistake of the program."""


class StateMachine(Generic[S, E]):
    """A state that follows the table."""

    def __init__(self, table: Mapping[tuple[S, E], S], state: S) -> None:
        self._table = table
        self.state = state

    def on(self, event: E) -> None:
        """Take the transition of this event; IllegalTransition when the table lists none."""
        following = self._table.get((self.state, event))
        if following is None:
            raise IllegalTransition(f"{event} while {self.state}")
        self.state = following


def markdown(table: Mapping[tuple[S, E], S], first: S) -> list[str]:
    """The table in Markdown: a column a state, ``first`` first; a row an event; an empty cell is an error."""
    states = list(type(first))
    events = list(dict.fromkeys(event for _, event in table))
    lines = ["| | " + " | ".join(states) + " |", "|---" * (len(states) + 1) + "|"]
    for event in events:
        cells = (table.get((state, event), "") for state in states)
        lines.append(f"| {event} | " + " | ".join(cells) + " |")
    return lines

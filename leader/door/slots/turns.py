"""Whose turn it is among the requests that wait for a slot. Pure.

Within a domain the first that came is first. Among domains it is the one with the fewest slots in use, then
the one whose last start is longest ago: who asks much waits for itself alone. Those that were cut off when
llama-server died go before the others, so that whoever ends it by ever new requests comes last.
"""

import math
from collections import Counter, OrderedDict
from typing import Final

MAX_WAITING: Final = 1024
"""Requests of all domains together."""
MAX_REMEMBERED: Final = 1024
"""Domains whose last start is remembered."""


class TooManyWaiting(Exception):
    """No more requests may wait at present."""


class Turns:
    """The queue; each request has a ticket, a number that grows."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._most = most
        self._next_ticket = 0
        self._waiting: dict[int, str] = {}  # in order of arrival
        self._urgent: set[int] = set()
        self._running: dict[int, str] = {}
        self._in_use: Counter[str] = Counter()
        self._last_start: OrderedDict[str, float] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def arrive(self, domain: str, urgent: bool = False) -> int:
        """A request begins to wait; returns its ticket. Raises `TooManyWaiting`.

        An ``urgent`` one goes before all that are not: it was cut off when llama-server died.
        """
        if len(self._waiting) >= self._most:
            raise TooManyWaiting(f"{self._most} requests wait already")
        self._next_ticket += 1
        self._waiting[self._next_ticket] = domain
        if urgent:
            self._urgent.add(self._next_ticket)
        return self._next_ticket

    def next(self, barred: frozenset[int] | set[int] = frozenset()) -> int | None:
        """The ticket whose turn it is, leaving out the ``barred``; None where nobody waits."""
        first: dict[str, int] = {}
        urgent = self._urgent - barred
        for ticket, domain in self._waiting.items():
            if ticket in urgent or not (urgent or ticket in barred):
                first.setdefault(domain, ticket)
        if not first:
            return None
        return first[min(first, key=lambda domain: (*self._claim(domain), first[domain]))]

    def start(self, now: float, ticket: int) -> None:
        """A request that waited has its turn."""
        self._urgent.discard(ticket)
        domain = self._running[ticket] = self._waiting.pop(ticket)
        self._in_use[domain] += 1
        self._last_start[domain] = now
        self._last_start.move_to_end(domain)
        if len(self._last_start) > MAX_REMEMBERED:
            self._last_start.popitem(last=False)

    def leave(self, ticket: int) -> None:
        """A request waits no longer, or its turn is over."""
        self._urgent.discard(ticket)
        if (
            self._waiting.pop(ticket, None) is None
            and (domain := self._running.pop(ticket, None)) is not None
        ):
            self._in_use[domain] -= 1
            self._in_use += Counter()  # without the domains that have none

    def _claim(self, domain: str) -> tuple[int, float]:
        return self._in_use[domain], self._last_start.get(domain, -math.inf)

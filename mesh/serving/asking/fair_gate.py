"""Lets so many pass at a time; whoever waits is let in by the fair turns of domains."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from leader.door.slots.turns import Turns


class FairGate:
    """Has so many places. Who asks much waits for itself alone: of them, so many are ``kept`` for others."""

    def __init__(self, places: int, kept: int = 0) -> None:
        self._free = places
        self._most_of_one = places - kept
        self._taken: Counter[str] = Counter()
        self._turns = Turns()
        self._waiting: dict[int, _Waits] = {}

    @asynccontextmanager
    async def place(
        self,
        domain: str,
        may_start: Callable[[], bool] = lambda: True,
        on_start: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[None]:
        """A place for the time of the ``async with``. Raises `TooManyWaiting`.

        None is given to who may not start; call `deal` when that may have changed. ``on_start`` is called as
        soon as a place is given, before the next is looked for.
        """
        ticket = self._turns.arrive(domain)
        waiting = self._waiting[ticket] = _Waits(domain, may_start, on_start)
        try:
            self.deal()
            await waiting.ready.wait()
            yield
        finally:
            del self._waiting[ticket]
            self._turns.leave(ticket)
            if waiting.ready.is_set():
                self._free += 1
                self._taken[domain] -= 1
                self._taken += Counter()  # without the domains that have none
            self.deal()

    def deal(self) -> None:
        """Give free places to those whose turn it is."""
        while self._free and (ticket := self._turns.next(self._barred())) is not None:
            self._turns.start(trio.current_time(), ticket)
            waiting = self._waiting[ticket]
            self._free -= 1
            self._taken[waiting.domain] += 1
            waiting.on_start()
            waiting.ready.set()

    def _barred(self) -> set[int]:
        most = self._most_of_one
        return {
            ticket
            for ticket, waiting in self._waiting.items()
            if self._taken[waiting.domain] >= most or not waiting.may_start()
        }


class _Waits:
    def __init__(self, domain: str, may_start: Callable[[], bool], on_start: Callable[[], None]) -> None:
        self.domain = domain
        self.may_start = may_start
        self.on_start = on_start
        self.ready = trio.Event()

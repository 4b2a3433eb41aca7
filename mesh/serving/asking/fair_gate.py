"""Lets so many pass at a time; whoever waits is let in by the fair turns of domains."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from leader.door.slots.turns import Turns


class FairGate:
    """Has so many places. Who asks much waits for itself alone."""

    def __init__(self, places: int) -> None:
        self._free = places
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
        waiting = self._waiting[ticket] = _Waits(may_start, on_start)
        try:
            self.deal()
            await waiting.ready.wait()
            yield
        finally:
            del self._waiting[ticket]
            self._turns.leave(ticket)
            self._free += waiting.ready.is_set()
            self.deal()

    def deal(self) -> None:
        """Give free places to those whose turn it is."""
        while self._free and (ticket := self._turns.next(self._barred())) is not None:
            self._turns.start(trio.current_time(), ticket)
            self._free -= 1
            self._waiting[ticket].on_start()
            self._waiting[ticket].ready.set()

    def _barred(self) -> set[int]:
        return {ticket for ticket, waiting in self._waiting.items() if not waiting.may_start()}


class _Waits:
    def __init__(self, may_start: Callable[[], bool], on_start: Callable[[], None]) -> None:
        self.may_start = may_start
        self.on_start = on_start
        self.ready = trio.Event()

"""A change signal: it wakes tasks that wait for a change, and they look up what changed."""

from collections.abc import Callable

import trio

LOOK_SECONDS = 1.0


class ChangeSignal:
    """Level, not edge: ``wait`` returns at once when something has changed since ``seen``."""

    def __init__(self) -> None:
        self.count = 0
        self._event = trio.Event()

    def notify(self) -> None:
        self.count += 1
        self._event.set()
        self._event = trio.Event()

    async def wait(self, seen: int, limit: float) -> int:
        """Return the count once it differs from ``seen``, or after ``limit`` seconds."""
        with trio.move_on_after(limit):
            while self.count == seen:
                await self._event.wait()
        return self.count

    async def cancel_when(self, scope: trio.CancelScope, holds: Callable[[], bool]) -> None:
        """Cancel the scope once ``holds()`` is true; it is called after each change, and every second."""
        seen = -1
        while not holds():
            seen = await self.wait(seen, LOOK_SECONDS)
        scope.cancel()

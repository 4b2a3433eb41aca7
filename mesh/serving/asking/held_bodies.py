"""Bounds what the door holds of requests, by member and in all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_HELD: Final = 96 << 20
"""Bytes of one member's requests that are held at a time."""
MAX_HELD_IN_ALL: Final = 384 << 20
"""Bytes of all requests that are held at a time. A member has at most half of what others leave of them: so
however many members fill it, there is room for one more.
"""


class NoRoom(Exception):
    """The door holds as many bytes of requests as it may."""


class HeldBodies:
    """Counts the bytes held."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()

    @contextmanager
    def room(self, member: str) -> Iterator["Room"]:
        """Room for one request of a member's, given back at the end."""
        room = Room(self.held, member)
        try:
            yield room
        finally:
            room.give_back()


class Room:
    """What one request takes."""

    def __init__(self, held: Counter[str], member: str) -> None:
        self._held = held
        self._member = member
        self._taken = 0

    def take(self, count: int) -> None:
        """Take so many bytes more. Raises `NoRoom`."""
        own = self._held[self._member]
        left = MAX_HELD_IN_ALL - (self._held.total() - own)
        if own + count > min(MAX_HELD, left // 2):
            raise NoRoom
        self._held[self._member] += count
        self._taken += count

    def becomes(self, count: int) -> None:
        """Hold so many bytes instead of all that was taken. Raises `NoRoom`."""
        self.give_back()
        self.take(count)

    def give_back(self) -> None:
        """Give back all that was taken."""
        self._held[self._member] -= self._taken
        self._taken = 0
        if self._held[self._member] <= 0:
            del self._held[self._member]

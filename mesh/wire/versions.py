"""Which wire versions this program speaks, and what two programs have in common.

A program speaks its own version and the one before, so that a pool is upgraded machine by machine. What may
change from one version to the next, and what never may, is in `docs/protocol/wire.md`.
"""

from __future__ import annotations

from typing import NamedTuple


class Versions(NamedTuple):
    """The versions that a program speaks, both inclusive."""

    oldest: int
    newest: int

    def common(self, other: Versions) -> int | None:
        """The newest version that both speak; None when two such programs cannot speak."""
        newest = min(self.newest, other.newest)
        return newest if newest >= max(self.oldest, other.oldest) else None

    def __str__(self) -> str:
        """As people read it: ``2``, ``2 and 3``, ``2 to 4``."""
        if self.oldest == self.newest:
            return str(self.newest)
        return f"{self.oldest} {'and' if self.newest == self.oldest + 1 else 'to'} {self.newest}"


SPOKEN = Versions(2, 3)
CLOSED = Versions(2, 2)
"""A program of version 2: it takes no fact with fields that it does not know."""

GROWING = 3
"""From this version on facts and messages grow: a reader ignores the fields that it does not know."""

_MARK = b"mw"
NONCE_BYTES = 8


def marked(nonce: bytes, speaks: Versions) -> bytes:
    """The nonce (8 bytes) of a record whose first half says what its author speaks.

    The nonce is where a member of version 2 has room for it. A program of version 2 alone marks nothing.
    """
    return nonce if speaks.newest < GROWING else _MARK + bytes(speaks) + nonce[-4:]


def spoken_by(nonce: bytes) -> Versions:
    """What the author of a record with this nonce speaks: version 2 alone, unless the nonce is marked.

    A nonce of version 2 is random, and looks marked once in 2^32.
    """
    oldest, newest = nonce[2], nonce[3]
    if nonce[:2] == _MARK and oldest <= newest and newest >= GROWING:
        return Versions(oldest, newest)
    return CLOSED

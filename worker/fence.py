"""A worker's fence: which streams pass to rpc-server, and which are cut. Pure.

The fence follows the worker's lease. It admits the holder's streams under the terms of its claim, and no
others. A later term fences off the earlier ones, as a fencing token does: a former leader, or an earlier run
of the same one, cannot reach rpc-server beside its successor.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

Stream = TypeVar("Stream", bound=Hashable)
"""The owner's handle of a stream."""


class Holder(Protocol):
    """The claim that a worker's lease was granted to."""

    @property
    def author(self) -> bytes:
        """The leader's node id."""

    @property
    def term(self) -> int:
        """The claim's term."""


class Fence(Generic[Stream]):
    """Decides alone; the owner first of all cuts the streams that `set_holder` and `admit` return.

    The fence no longer admits a stream that it has returned.
    """

    def __init__(self) -> None:
        self._holder: bytes | None = None
        self._terms = range(0)
        """The terms under which the holder's streams pass."""
        self._admitted: dict[Stream, tuple[bytes, int]] = {}
        """The author and the term of each admitted stream, in the order of admission."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The admitted streams, the earliest first."""
        return tuple(self._admitted)

    def set_holder(self, claim: Holder | None) -> list[Stream]:
        """Let ``claim`` alone pass from now on, or nothing. Returns the streams to cut, the earliest first.

        A holder that reclaims, with a higher term, keeps its streams.
        """
        if claim is None:
            self._holder, self._terms = None, range(0)
        elif claim.author == self._holder:
            self._terms = range(self._terms.start, claim.term + 1)
        else:
            self._holder, self._terms = claim.author, range(claim.term, claim.term + 1)
        return self._cut()

    def admits(self, author: bytes, term: int) -> bool:
        """Whether a stream that ``author`` opens under its claim of ``term`` passes."""
        return author == self._holder and term in self._terms

    def refusal(self, author: bytes, term: int) -> str | None:
        """Why such a stream does not pass, in words for its author; None when it does."""
        if self.admits(author, term):
            return None
        if self._holder is None:
            return "this worker is leased to nobody"
        return f"this worker is leased to another claim, of term {self._terms.stop - 1}"

    def admit(self, stream: Stream, author: bytes, term: int) -> list[Stream]:
        """Admit a stream that `admits` accepts. Returns the streams to cut first: those of earlier terms.

        An author that begins under a later term is done with what it began before.
        Raises ValueError for a stream that does not pass.
        """
        if not self.admits(author, term):
            raise ValueError("the fence does not let this stream pass")
        self._terms = range(term, self._terms.stop)
        cut = self._cut()
        self._admitted[stream] = (author, term)
        return cut

    def remove(self, stream: Stream) -> None:
        """Forget a stream that ended; an unknown one changes nothing."""
        self._admitted.pop(stream, None)

    def _cut(self) -> list[Stream]:
        cut = [stream for stream, key in self._admitted.items() if not self.admits(*key)]
        for stream in cut:
            del self._admitted[stream]
        return cut

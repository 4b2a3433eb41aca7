"""Server-sent events, cut between events: a stream that breaks off leaves no partial event behind. Pure.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html (a blank line ends an event).
"""

import re

MAX_EVENT = 1 << 20
"""Bytes of an unfinished event that are held back; a longer one is passed on as it arrives."""
MAX_SPLIT_EVENT = 32 << 20
"""Bytes of an event that must be read whole: the last one of an answer quotes its prompt."""

_SEAM = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_TOKENS = re.compile(rb'"(?:completion_tokens|tokens_predicted|predicted_n)"\s*:\s*(\d{1,9})')


class EventFramer:
    """Bytes in, whole events out. Remembers the last event with data, and the number of events."""

    def __init__(self) -> None:
        self._pending = b""
        self.events = 0
        self.last = b""
        self.tokens: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those that can be passed on: all up to the end of the last whole event."""
        pending = self._pending + data
        # The pending bytes held no separator, but may have held the beginning of one.
        start = max(0, len(self._pending) - 3)
        end = 0
        while seam := _SEAM.search(pending, max(start, end)):
            self._note(pending[end : seam.end()])
            end = seam.end()
        if len(pending) - end > MAX_EVENT:
            end = len(pending)
        self._pending = pending[end:]
        return pending[:end]

    def rest(self) -> bytes:
        """Return what no blank line has ended, at the proper end of a stream."""
        rest, self._pending = self._pending, b""
        if rest:
            self._note(rest)
        return rest

    def _note(self, event: bytes) -> None:
        # A line break of two bytes may have been cut in two; its second half then leads the next event.
        event = event.strip()
        if event.startswith((b"data:", b"event:")):
            self.last = event
            if event != b"data: [DONE]":
                self.events += 1
                self.tokens = generated_tokens(event) or self.tokens


class EventSplitter:
    """Bytes in, whole events out, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, return the events that they complete. Raises ``ValueError`` at one that is too long."""
        start = max(0, len(self._pending) - 3)
        pending = self._pending + data
        events = []
        end = 0
        while seam := _SEAM.search(pending, max(start, end)):
            events.append(pending[end : seam.end()])
            end = seam.end()
        self._pending = pending[end:]
        if len(self._pending) > MAX_SPLIT_EVENT:
            raise ValueError("an event without end")
        return events


def generated_tokens(text: bytes) -> int | None:
    """Return the number of tokens that an answer or its last chunk reports; None if it reports none."""
    found = _TOKENS.findall(text)
    return int(found[-1]) if found else None

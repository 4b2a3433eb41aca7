"""What all writers of streams share: one end, proper or an error, and nothing after it. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from leader.door.dialects.error_shapes import error_event, told_error
from leader.door.orders import ErrorShape


class SingleEnd(ABC):
    """Asks for `_chunk` at each event and for `_last` at the end, until an error has ended the stream."""

    shape: ClassVar = ErrorShape.OPENAI

    def __init__(self) -> None:
        self._number = 0
        """Events so far, where they are numbered."""
        self._over = False

    def event(self, index: int, value: Mapping[str, Any]) -> bytes:
        """Take one JSON object of the stream that answers body ``index``; return events to send."""
        if self._over:
            return b""
        if error := told_error(value):
            status, code, message = error
            return self._fail(code, message, status)
        return self._chunk(index, value)

    def ended(self, index: int) -> bytes:
        """Take the proper end of that stream. None of these forms tells it by an event of its own."""
        return b""

    def end(self) -> bytes:
        """Return the last events, when all streams have ended."""
        if self._over:
            return b""
        last = self._last()
        self._over = True
        return last

    def _fail(self, code: str, message: str, status: int = 503) -> bytes:
        """End with an error."""
        self._over = True
        return error_event(self.shape, code, message, status, self._number)

    @abstractmethod
    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        """Tell an object that is no error."""

    @abstractmethod
    def _last(self) -> bytes:
        """Tell the proper end."""

"""Counts the answers that a llama-server is giving."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Answers:
    """``count`` of them are being given; ``on_last`` is called when the last one ends."""

    def __init__(self, on_last: Callable[[], None]) -> None:
        self.count = 0
        self._on_last = on_last

    @contextmanager
    def giving(self) -> Iterator[None]:
        """Count one answer, from a request that was read to the answer's end.

        A stream on which nobody asks anything counts as none.
        """
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._on_last()

"""How far a request is, told in lines that nobody is flooded with."""

import threading
import time
from collections.abc import Callable
from typing import Final

from mesh.hub.hub_lines import Line, ProgressLine
from mesh.wire.recent_rate import RecentRate

PAUSE: Final = 0.2


class ProgressLines:
    """Bytes of several files together; ``write`` takes the lines, at most five a second, and each text."""

    def __init__(self, write: Callable[[Line], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        self._total = 0
        self._text = ""
        self._told = -PAUSE
        self._rate = RecentRate()

    @property
    def done(self) -> int:
        return sum(self._places.values())

    def begin(self, total: int, present: dict[str, int]) -> None:
        """``total`` bytes in all, of which these are there already, by the file's path."""
        with self._lock:
            self._total, self._places = total, dict(present)
            self._rate.begin()

    def expect(self, more: int) -> None:
        """So many bytes more are to come than was known."""
        with self._lock:
            self._total += more

    def place(self, name: str, place: int) -> None:
        """The file is there up to ``place``."""
        with self._lock:
            self._places[name] = place
            now = self._clock()
            text = name.rpartition("/")[2]
            if self._text != text or now - self._told >= PAUSE:
                self._text = text
                self._line(now)

    def end(self) -> None:
        """How far it is at last."""
        with self._lock:
            self._line(self._clock())

    def tell(self, text: str) -> None:
        """Something that a person should know at once."""
        with self._lock:
            self._text = text
            self._line(self._clock())

    def _line(self, now: float) -> None:
        done = self.done
        rate = self._rate.see(now, done)
        total = max(self._total, done)
        self._told = now
        self._write({"progress": ProgressLine(done=done, total=total, rate=rate, text=self._text)})

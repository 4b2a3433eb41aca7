"""A child process's output, in at most two files, with its last lines at hand for error messages."""

from collections import deque
from pathlib import Path
from typing import BinaryIO


class LogFile:
    """Lines go to ``path``; when it is full it becomes ``path.1``: at most 2 * ``limit`` bytes are on disk.

    A full disk loses lines; it never stops the process that prints them.
    """

    def __init__(self, path: Path, *, limit: int = 1 << 20, remembered: int = 40) -> None:
        self.path = path
        self._limit = limit
        self._tail: deque[str] = deque(maxlen=remembered)
        self._file: BinaryIO | None = None
        self._size = 0

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The latest lines, oldest first."""
        return tuple(self._tail)

    def write(self, line: str) -> None:
        """Append one line."""
        self._tail.append(line)
        data = line.encode() + b"\n"
        try:
            if self._file is None or self._size + len(data) > self._limit:
                self._turn_over()
            assert self._file is not None
            self._file.write(data)
        except OSError:
            self.close()
        else:
            self._size += len(data)

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _turn_over(self) -> None:
        full = self._file is not None
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if full or (self.path.exists() and self.path.stat().st_size >= self._limit):
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab", buffering=0)
        self._size = self._file.tell()

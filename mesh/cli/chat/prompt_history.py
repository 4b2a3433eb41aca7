"""What was typed in earlier conversations: a file of one JSON text a line, for this user alone."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

MOST_ENTRIES: Final = 1000
"""Entries that are kept; the newest."""
LONGEST_ENTRY: Final = 64 << 10
"""Characters; what is longer is not kept."""
_LONGEST_FILE: Final = 16 << 20
"""Bytes at the file's end that are read."""


class PromptHistory:
    """The file at ``path``. What cannot be read or written there is no reason not to talk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[str]:
        """Return the newest entries, the oldest first, and drop older ones from the file."""
        entries: list[str] = []
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_FILE))
                lines = file.read(_LONGEST_FILE).split(b"\n")
        except OSError:
            return []
        for line in lines:
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, str):
                    entries.append(entry)
        if len(lines) - 1 > MOST_ENTRIES:
            self._rewrite(entries[-MOST_ENTRIES:])
        return entries[-MOST_ENTRIES:]

    def append(self, entry: str) -> None:
        """Add an entry."""
        if len(entry) <= LONGEST_ENTRY:
            with suppress(OSError), self._open(self._path, os.O_APPEND) as file:
                file.write(json.dumps(entry) + "\n")

    def _rewrite(self, entries: list[str]) -> None:
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            with self._open(partial, os.O_TRUNC) as file:
                file.writelines(json.dumps(entry) + "\n" for entry in entries)
            partial.replace(self._path)
        except OSError:
            partial.unlink(missing_ok=True)

    @staticmethod
    def _open(path: Path, flags: int) -> TextIO:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600), "w", encoding="ascii")

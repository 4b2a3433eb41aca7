"""``mesh logs``."""

import argparse
import os
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from mesh.cli import option_values
from mesh.cli.asking import state_of
from mesh.cli.options import Options
from mesh.wire.errors import MeshError

DESCRIPTION = (
    "What the sidecar, each rpc-server and llama-server of this node wrote last. Needs no running sidecar."
)
EXAMPLE = "  mesh logs -f"

POLL_INTERVAL = 0.2
LONGEST_TAIL = 256 * 1024
"""Bytes at the end of each log in which to look for its last lines."""
NAMES = {"mesh": "sidecar"}
_LEAST_WIDTH = 12


def configure(options: Options) -> None:
    options.flag("-f", "--follow", help="go on as more is written, until Ctrl-C")
    options.value(
        "-n",
        "--lines",
        convert=option_values.natural,
        default=100,
        metavar="N",
        help="last lines of each (100)",
    )


def run(args: argparse.Namespace) -> int:
    import time

    state = Path(state_of(args))
    logs = {path: Log(path) for path in _oldest_first(state)}
    if not logs and not args.follow:
        raise MeshError(f"there are no logs in {state}", "they begin with: mesh join")
    try:
        for log in logs.values():
            _show(log.name, log.last(args.lines), _width(logs.values()))
        while args.follow:
            time.sleep(POLL_INTERVAL)
            for path in _oldest_first(state):
                log = logs.setdefault(path, Log(path))
                _show(log.name, log.more(), _width(logs.values()))
    except KeyboardInterrupt:
        pass
    finally:
        for log in logs.values():
            log.close()
    return 0


class Log:
    """One log that is followed, also over rotation and truncation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = NAMES.get(path.stem, path.stem)
        self._file: BinaryIO | None = None
        self._rest = b""

    def last(self, lines: int) -> list[bytes]:
        """The last lines; `more` returns what is written after them."""
        if not self._open():
            return []
        assert self._file is not None
        start = max(0, os.fstat(self._file.fileno()).st_size - LONGEST_TAIL)
        self._file.seek(start)
        if start:
            self._file.readline()  # a partial line
        return list(deque(self._lines(), maxlen=lines))

    def more(self) -> list[bytes]:
        """The lines that were completed since."""
        if self._file is None and not self._open():
            return []
        assert self._file is not None
        lines = self._lines()
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return lines
        mine = os.fstat(self._file.fileno())
        if (now.st_ino, now.st_dev) != (mine.st_ino, mine.st_dev):
            lines += self._lines()  # the old file's last lines, written until it was replaced
            self._open()
            lines += self._lines()
        elif now.st_size < self._file.tell():
            self._file.seek(0)
            lines += self._lines()
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> bool:
        self.close()
        self._rest = b""
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            self._file = None
        except OSError as error:
            raise MeshError(
                f"cannot read {self.path}: {error.strerror}", "look as the user who joined"
            ) from None
        return self._file is not None

    def _lines(self) -> list[bytes]:
        assert self._file is not None
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines


def _oldest_first(state: Path) -> list[Path]:
    """The logs in the state directory, the most recently written one last."""
    found = []
    for path in state.glob("*.log"):
        try:
            found.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue  # rotated just now
    return [path for _, path in sorted(found)]


def _width(logs: Iterable[Log]) -> int:
    return max((_LEAST_WIDTH, *(len(log.name) for log in logs)))


def _show(name: str, lines: list[bytes], width: int) -> None:
    from mesh.cli.terminal import clean, paint

    for line in lines:
        text = line.decode(errors="replace").rstrip("\r").expandtabs()
        print(f"{paint(name.ljust(width), 'dim')} | {clean(text)}")
    sys.stdout.flush()

"""A program on a host of the lab with a terminal before it, as a person would have it."""

import fcntl
import os
import re
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import trio


class TerminalHost(Protocol):
    """What it needs of a `tests.lab.host.Host`."""

    name: str
    folder: Path
    environment: dict[str, str]

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs this on the host."""
        ...


class OnTerminal:
    """Use as an async context manager; what the program prints is gathered while the test waits for it.

    ``columns``: of the terminal, which has 24 rows.
    """

    def __init__(self, host: TerminalHost, argv: Sequence[str | Path], columns: int = 80) -> None:
        self.printed = ""
        self._host = host
        self._argv = argv
        self._columns = columns

    async def __aenter__(self) -> "OnTerminal":
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        termios.tcsetwinsize(slave, (24, self._columns))
        self._process = subprocess.Popen(  # noqa: ASYNC220 - starting one takes milliseconds
            self._host.command(self._argv),
            env=self._host.environment,
            cwd=self._host.folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_the_terminal,
        )
        os.close(slave)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    async def shows(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """Wait until the pattern is printed."""
        with trio.move_on_after(seconds):
            while True:
                if found := re.search(pattern, self.printed):
                    return found
                await self._read()
        raise AssertionError(f"{self._host.name} did not print {pattern!r} but: {self.printed}")

    def types(self, text: str) -> None:
        """Type at it."""
        os.write(self._master, text.encode())

    def hears(self, signal_number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(signal_number)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed and edits it by lines, as a shell expects it."""
        usual = termios.ECHO | termios.ICANON
        return bool(termios.tcgetattr(self._master)[3] & usual == usual)

    async def ends(self, seconds: float = 30.0) -> int:
        """Wait for its end; its exit code."""
        with trio.fail_after(seconds):
            while await self._read():
                pass
        return self._process.wait(5)

    async def _read(self) -> bool:
        await trio.lowlevel.wait_readable(self._master)
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # how Linux tells that the other end of a terminal is closed
            piece = b""
        self.printed += piece.decode(errors="replace")
        return bool(piece)


def _take_the_terminal() -> None:
    """Make standard input the terminal that controls the new session, so that Ctrl-C signals."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

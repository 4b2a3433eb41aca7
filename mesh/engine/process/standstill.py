"""Detects that a child process stands still: stopped, or computing nothing though bytes wait for it.

``Standstill`` is pure; ``look`` reads from the system what it judges.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

STOPPED: Final = 1.5  # seconds that a process may be stopped (SIGSTOP), as by a person who inspects it
STUCK: Final = 5.0  # seconds without computing while bytes wait for it
STUCK_ON_DEVICE: Final = 30.0  # the same where an accelerator computes and the processor only waits for it
LONGEST_GAP: Final = 4.0  # between looks; a longer one means that this process itself was paused
LEAST: Final = 0.005  # seconds of computing that count: half of the system's grain


@dataclass(frozen=True, slots=True)
class Look:
    """A process now: whether it is stopped, its seconds of CPU time, the bytes that wait for it."""

    stopped: bool
    computed: float
    waiting: int


class Standstill:
    """Takes looks, about one a second; says why the process counts as stuck."""

    def __init__(self, device: bool = False) -> None:
        """``device``: an accelerator computes for it."""
        self._patience = STUCK_ON_DEVICE if device else STUCK
        self._seen = float("-inf")
        self._not_stopped_at = float("-inf")  # when it was last not stopped
        self._progress_at = float("-inf")  # when it last computed, or nothing waited
        self._computed = 0.0

    def see(self, now: float, look: Look) -> str | None:
        """The reason, or None. ``now`` in seconds."""
        if now - self._seen > LONGEST_GAP:
            self._not_stopped_at = self._progress_at = now
        self._seen = now
        if not look.stopped:
            self._not_stopped_at = now
        if not look.waiting or look.computed - self._computed >= LEAST:
            self._progress_at, self._computed = now, look.computed
        if now - self._not_stopped_at >= STOPPED:
            return "was stopped"
        if now - self._progress_at >= self._patience:
            return f"has computed nothing for {now - self._progress_at:.0f} s though work waits for it"
        return None


def look(pid: int, port: int | None = None) -> Look | None:
    """The process now; ``port`` is where it serves, in its own network. None when it is gone."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        with process.oneshot():
            used = process.cpu_times()
            stopped = process.status() == psutil.STATUS_STOPPED
        return Look(stopped, used.user + used.system, 0 if port is None else bytes_waiting(pid, port))
    return None


def bytes_waiting(pid: int, port: int) -> int:
    """Unread bytes of the connections to this port in the process's network; 0 where nothing tells."""
    try:
        with Path(f"/proc/{pid}/net/tcp").open(encoding="ascii") as table:
            return waiting_in(table, port)
    except OSError:  # only Linux has it
        return 0


def waiting_in(table: Iterable[str], port: int) -> int:
    """The same from the lines of /proc/net/tcp, whose addresses are in hex: established connections count."""
    local = f":{port:04X}"
    found = 0
    for line in table:
        words = line.split()
        if len(words) > 4 and words[1].endswith(local) and words[3] == "01":
            found += int(words[4].partition(":")[2], 16)
    return found

"""How much memory an engine may take: bounded by the kernel, looked at by the sidecar, told to people.

A control group bounds it where one can be made. Else the kernel bounds what a process maps to write
(RLIMIT_DATA), unless an accelerator's driver maps far more than it uses. The sidecar's look is the finer
bound in each case: what counts is memory without a file, in use or swapped out. macOS bounds nothing.
"""

import os
import re
import resource
from dataclasses import replace
from pathlib import Path
from typing import Final

from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.control_groups import ControlGroup, control_group, sweep

_BESIDE: Final = 64 << 20
"""Bytes that a group may have besides: the kernel's own, and what files were read lately."""
_LEAST_STACK: Final = 8 << 20
_FIELD = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


class MemoryBound:
    """The bound of one start of an engine: ``most`` bytes, which are ``what`` for people."""

    def __init__(self, name: str, most: int, what: str, clients: int = 0) -> None:
        """``name`` is the engine's, for people; it may have a thread for each of so many ``clients``."""
        self._name = name
        self._most = most
        self._what = what
        self._clients = clients
        self._group: ControlGroup | None = None

    def applied(self, wanted: Confinement) -> Confinement:
        """The same, bounded; lets go of the start before."""
        self.close()
        sweep()
        self._group = control_group(self._most + _BESIDE)
        if self._group is not None:
            return replace(wanted, control_group=str(self._group.processes))
        return wanted if wanted.device else replace(wanted, data_bytes=self._most + _stacks(self._clients))

    def exceeded(self, process: int) -> str:
        """Why the process has to end; empty while it need not."""
        taken = memory_of(process)
        return (
            f"{self._name} took {_mib(taken)} of memory, more than {self._said}" if taken > self._most else ""
        )

    def ended(self) -> str:
        """Why the kernel ended it; empty where that was not for its memory."""
        ended = self._group is not None and self._group.has_ended_a_process
        return f"{self._name} took more memory than {self._said}" if ended else ""

    def close(self) -> None:
        """Let go of it, once the engine has ended."""
        if self._group is not None:
            self._group.remove()
            self._group = None

    @property
    def _said(self) -> str:
        return f"the {_mib(self._most)} of {self._what}"


def memory_of(process: int) -> int:
    """Bytes without a file that the process has, in use or swapped out; 0 when it is gone.

    Linux alone tells: elsewhere the files that an engine maps count too, and the process is its guardian.
    """
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return sum(int(kib) for kib in _FIELD.findall(text)) << 10


def _stacks(clients: int) -> int:
    """What the stacks of an engine's threads map, and hardly use: it has some for each processor."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    each = _LEAST_STACK if soft == resource.RLIM_INFINITY else max(soft, _LEAST_STACK)
    return each * (32 + 4 * (os.cpu_count() or 1) + clients)


def _mib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"

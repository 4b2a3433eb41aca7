"""Whether this machine can give an engine a cell, and a user of its own: tried once, as with an engine."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import glob

from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.engine_users import own_users
from mesh.engine.sandbox.launcher import DEVICES

_TRY_SECONDS, _TRIES = 20.0, 3


@dataclass(frozen=True, slots=True)
class Isolation:
    """``why_no_cells`` is what the kernel said where there are none; ``changes_user``: root is at hand.

    macOS has no cells; there ``seatbelt`` says whether sandbox-exec works, and ``why_no_cells`` why not.
    """

    cells: bool
    changes_user: bool = False
    why_no_cells: str = ""
    seatbelt: bool = False

    def applied(self, wanted: Confinement, engine: int) -> Confinement:
        """The same with a user of its own if that can be: one for each ``engine`` of a sidecar."""
        wanted = replace(wanted, seatbelt=self.seatbelt)
        if not self.changes_user:
            return wanted
        user = own_users()[engine]
        return replace(wanted, user=user, groups=device_groups() if wanted.device else ())


@functools.cache
def isolation() -> Isolation:
    """What this machine gives. Takes some 0.1 s at its first call, a minute at most, and blocks."""
    if sys.platform == "darwin":
        return _of_macos()
    if sys.platform != "linux":
        return Isolation(False)
    why = ""
    if os.getuid() == 0:
        own_users()  # which then knows
    for changes_user in (True, False) if os.getuid() == 0 else (False,):
        wanted = Isolation(True, changes_user).applied(Confinement(cell=True), 0)
        why = _failure(wanted)
        if not why:
            return Isolation(True, changes_user)
    return Isolation(False, False, why)


def _of_macos() -> Isolation:
    """Whether sandbox-exec is there and takes the whole profile; a person can do without it."""
    if os.environ.get("MESH_SEATBELT") == "off":
        return Isolation(False, why_no_cells="MESH_SEATBELT is off")
    whole = Confinement(
        seatbelt=True, device=True, listens=(1,), connects=(2,), socket="/tmp/mesh/engine.sock",
        reads=("/dev/null",), writes=("/dev/null",),
    )  # fmt: skip
    why = _failure(whole, ["/usr/bin/true"])
    return Isolation(False, why_no_cells=why, seatbelt=not why)


def _failure(wanted: Confinement, argv: Sequence[str] = (sys.executable, "-ISc", "")) -> str:
    """Why nothing can be started so; empty when it can.

    Empty also where nothing answers, as on a machine that does too much else: what is found now holds for
    long, and an engine that does not start in its cell is better than one that goes on without.
    """
    command = wanted.command(argv)
    for _ in range(_TRIES):
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TRY_SECONDS,
                check=False,
            )
            if done.returncode != -signal.SIGKILL:  # as for want of memory
                said = done.stderr.strip().splitlines()
                return "" if done.returncode == 0 else (said[-1] if said else f"status {done.returncode}")
    return ""


def device_groups(nodes: Iterable[str] | None = None) -> tuple[int, ...]:
    """The groups, but root's, that own the accelerators' device nodes."""
    if nodes is None:
        nodes = [found for pattern in DEVICES for found in (*glob(pattern), *glob(f"{pattern}/*"))]
    groups = set()
    for node in nodes:
        with suppress(OSError):
            groups.add(os.stat(node).st_gid)
    return tuple(sorted(groups - {0}))

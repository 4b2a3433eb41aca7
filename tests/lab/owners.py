"""Names that say whose they are, so that a later run can clear what a run that was killed left behind."""

import os
import re
import secrets
from pathlib import Path

import psutil

PREFIX = "mesh-lab"
# Set for every process of a lab: what finds them again, wherever they have gone to.
RUN_VARIABLE = "MESH_LAB_RUN"
HOST_VARIABLE = "MESH_LAB_HOST"
_NAME = re.compile(rf"{PREFIX}-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]+")


def new_run() -> str:
    """A name for a lab of this process: it carries the process id and when that process started."""
    return f"{PREFIX}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(2)}"


def run_of(name: str) -> str | None:
    """The run that something with this name belongs to; None when it is no lab's."""
    match = _NAME.match(name)
    return match[0] if match else None


def is_abandoned(run: str) -> bool:
    """Whether the process that owned the run is gone (another one may have its number by now)."""
    match = _NAME.fullmatch(run)
    if match is None:
        return False
    return _started(int(match["pid"])) != int(match["started"])


def _started(pid: int) -> int | None:
    """When the process started: clock ticks since boot where /proc tells (they never shift), else seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        try:
            return int(psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None
    # A zombie is gone for our purposes: it holds nothing and will do nothing.
    return None if fields[0] == "Z" else int(fields[19])

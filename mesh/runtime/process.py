"""What a process asks of the system before it works, and the error to show when it fails."""

import ctypes
import resource
import sys
from contextlib import suppress

from mesh.wire.errors import MeshError

MAX_FILES = 8192
_PR_SET_DUMPABLE = 4


def allow_many_files() -> None:
    """Raise the limit of open files as far as allowed, up to a bound: each stream and client takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS may allow fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_out_of_dumps() -> None:
    """Let no core dump hold this process' memory, and let none but root look into it.

    Programs that it starts write no core files either, but may be looked into.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A system that collects dumps by a program of its own need not ask for the limit, but for this.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def root_cause(error: BaseException) -> BaseException:
    """The first error in a group (trio's nurseries raise groups), a MeshError if there is one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [root_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, MeshError)), causes[0])

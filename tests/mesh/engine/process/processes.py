"""Looking at processes from outside, for tests of what outlives what."""

import subprocess
import sys

import psutil
import trio


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that only waits for its parent to notice has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def seconds_until_gone(pid: int, limit: float = 10.0) -> float:
    """How long it takes until the process has ended; ``limit`` if it does not."""
    start = trio.current_time()
    while trio.current_time() - start < limit:
        if is_gone(pid):
            return trio.current_time() - start
        await trio.sleep(0.01)
    return limit


def start_python(script: str, *arguments: str) -> "subprocess.Popen[str]":
    """A Python process that is no child of the code under test, its output readable."""
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)

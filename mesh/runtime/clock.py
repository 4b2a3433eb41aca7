"""The clock of the sidecar: seconds that run on while the machine sleeps.

A lid that was shut for an hour must count as an hour: leases have run out, members have moved on.
"""

import sys
import time

_SUSPEND_AWARE = time.CLOCK_MONOTONIC if sys.platform == "darwin" else time.CLOCK_BOOTTIME


def now() -> float:
    """Seconds since an arbitrary point; never goes back, runs through sleep."""
    return time.clock_gettime(_SUSPEND_AWARE)

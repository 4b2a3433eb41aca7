"""The clock of the sidecar: seconds that go on while the machine sleeps.

An hour of sleep must count as an hour: leases have run out, members have moved on.
"""

import sys
import time

_SUSPEND_AWARE = time.CLOCK_MONOTONIC if sys.platform == "darwin" else time.CLOCK_BOOTTIME


def now() -> float:
    """Seconds since an arbitrary point; never goes back, includes sleep."""
    return time.clock_gettime(_SUSPEND_AWARE)

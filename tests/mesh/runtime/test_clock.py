"""The clock runs through sleep and never goes back."""

import sys
import time

import pytest

from mesh.runtime.clock import now


def test_it_never_goes_back() -> None:
    readings = [now() for _ in range(1000)]
    assert readings == sorted(readings)


@pytest.mark.skipif(sys.platform != "linux", reason="the clock's name is Linux's")
def test_it_counts_the_time_that_the_machine_slept() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    reading = now()
    assert before <= reading <= time.clock_gettime(time.CLOCK_BOOTTIME)

"""Fixtures for all tests, and a check that no test leaves a process behind."""

import os
import secrets
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.engine_fixture import engine
from tests.lab import processes
from tests.lab.lab import Lab, is_in_open_lab


def pytest_configure() -> None:
    """Who runs the tests in the background has Ctrl-C ignored; what tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


__all__ = ["engine"]

# Every process that a test starts inherits this, however far it goes from us.
_MARK = "MESH_TEST_SESSION"
# What a test ended last may still be on its way out.
_GRACE_SECONDS = 3.0


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab: ``anna, bert = lab.hosts(2)``. Network namespaces where that is possible, else 127.x.y.z."""
    with Lab() as made:
        yield made


@pytest.fixture(scope="session")
def _session_mark() -> str:
    os.environ[_MARK] = secrets.token_hex(8)
    return os.environ[_MARK]


@pytest.fixture(autouse=True)
def _nothing_is_left_running(_session_mark: str) -> Iterator[None]:
    """Fails a test that leaves a process which was not there before it."""
    before = {process.pid for process in processes.with_variable(_MARK, _session_mark.__eq__)}
    yield
    found = processes.with_variable(_MARK, _session_mark.__eq__)
    # A lab that several tests share answers for its processes when it is closed.
    left = [process for process in found if process.pid not in before and not is_in_open_lab(process)]
    _, alive = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    if alive:
        lines = [" ".join(process.cmdline()) for process in alive if process.is_running()]
        for process in alive:
            process.kill()
        pytest.fail(f"the test left processes running: {lines}")

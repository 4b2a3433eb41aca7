"""Fixtures for all tests, and a check that no test leaves a process behind."""

import os
import secrets
import signal
from collections.abc import Iterator

import hypothesis
import psutil
import pytest

from tests import tiers
from tests.engine_fixture import engine
from tests.lab import processes
from tests.lab.lab import Lab, is_in_open_lab
from tests.oracle.oracle_fixture import oracle

__all__ = ["engine", "oracle"]

# How long an example takes depends on what else the machine does: pytest's own limit is enough.
hypothesis.settings.register_profile("mesh", deadline=None)
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("mesh")


def pytest_configure(config: pytest.Config) -> None:
    """Tests that run in the background have Ctrl-C ignored; what they start would inherit that."""
    tiers.register(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tiers.mark(item)


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
    before = frozenset(psutil.pids())
    yield
    found = processes.with_variable(_MARK, _session_mark.__eq__, but=before)
    # A lab that several tests share answers for its processes when it is closed.
    left = [process for process in found if not is_in_open_lab(process)]
    _, alive = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    if alive:
        lines = [" ".join(process.cmdline()) for process in alive if process.is_running()]
        for process in alive:
            process.kill()
        pytest.fail(f"the test left processes running: {lines}")

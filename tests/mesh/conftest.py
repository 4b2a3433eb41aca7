"""Fixtures for machines that meet on loopback, in a time that passes as fast as they act."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mesh.member import stay
from mesh.runtime import node_driver
from mesh.serving import leader_loop
from tests.mesh.machines import Ground

REAL_SECONDS_OF_SILENCE = 0.01
"""When nothing came on any socket for this long, nothing is under way, and the clock jumps."""


@pytest.fixture
def clock(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Trio's clock and the nodes' are one, which jumps to the next deadline when all is silent."""
    mock_clock.autojump_threshold = REAL_SECONDS_OF_SILENCE
    for module in (node_driver, leader_loop, stay):
        monkeypatch.setattr(module, "now", trio.current_time)
    return mock_clock


@pytest.fixture
async def ground(clock: MockClock, tmp_path: Path) -> AsyncIterator[Ground]:
    async with trio.open_nursery() as nursery:
        ground = Ground(nursery, tmp_path)
        yield ground
        nursery.cancel_scope.cancel()
    ground.close()

"""Where the others were is kept on the disk, for the latest pool alone."""

from pathlib import Path

import pytest

from mesh.runtime.peer_cache import CachedPeers
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId, id_text

POOL, OTHER = PoolId(b"p" * 16), PoolId(b"q" * 16)
THERE = [Endpoint("192.0.2.1", 7), Endpoint("::1", 8)]


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


async def test_what_is_remembered_is_known_at_the_next_start(state: StateDir) -> None:
    CachedPeers(state, 7).remember(POOL, THERE)
    assert await CachedPeers(state, 7).endpoints(POOL) == THERE


async def test_nothing_is_known_of_another_pool_or_of_any(state: StateDir) -> None:
    cache = CachedPeers(state, 7)
    assert await cache.endpoints(POOL) == []
    cache.remember(POOL, THERE)
    assert await cache.endpoints(OTHER) == []
    assert await cache.endpoints(None) == []
    cache.remember(OTHER, THERE)
    assert await cache.endpoints(POOL) == []


async def test_entries_that_are_no_endpoints_are_passed_over(state: StateDir) -> None:
    state.save("peers", {id_text(POOL): ["192.0.2.1", 5, "nowhere at all", "192.0.2.2:9"]})
    found = await CachedPeers(state, 7).endpoints(POOL)
    assert [endpoint for endpoint in found if endpoint.host.startswith("192.")] == [
        Endpoint("192.0.2.1", 7),
        Endpoint("192.0.2.2", 9),
    ]
    state.save("peers", {id_text(POOL): "no list"})
    assert await CachedPeers(state, 7).endpoints(POOL) == []

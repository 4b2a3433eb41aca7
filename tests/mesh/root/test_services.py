"""The services of a node are made from what the sidecar gives; which sources it has stands in one list."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from mesh.control.sidecar_options import DEFAULT_PORT
from mesh.root.services import discovery_sources
from mesh.runtime.program_build import build
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from tests.mesh.machines import Daemon, Ground, QuietMdns, Tailnet


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def names(state: StateDir, daemon: Daemon | None) -> list[str]:
    return [source.name for source in discovery_sources(state, 7, QuietMdns(), daemon)]


def test_the_tailnet_is_a_source_where_there_is_one(state: StateDir) -> None:
    assert names(state, None) == ["local network", "cache of peers"]
    assert names(state, Daemon(Tailnet(), "100.64.0.1")) == ["local network", "tailnet", "cache of peers"]


async def test_the_tailnets_machines_are_asked_at_the_usual_port_and_at_the_nodes(state: StateDir) -> None:
    daemon = Daemon(Tailnet({"100.64.0.1": "alice", "100.64.0.2": "alice"}), "100.64.0.1")
    tailnet = discovery_sources(state, 7, QuietMdns(), daemon)[1]
    assert await tailnet.endpoints(None) == [Endpoint("100.64.0.2", DEFAULT_PORT), Endpoint("100.64.0.2", 7)]


async def test_a_new_node_is_in_no_pool(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    assert anna.context.identity.id == anna.state.identity().id
    assert anna.context.port == anna.endpoint.port
    assert anna.context.streams.pool is None
    assert anna.context.streams.here.build == build()
    assert anna.admission_server.greeting().state == "searching"
    assert anna.context.discovery.owning == []

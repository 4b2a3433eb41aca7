"""The real rpc-server, and another local user who looks for it."""

import sys
from pathlib import Path

import pytest
import trio

import worker.rpc_server as module
from mesh.engine.types import Engine
from tests.mesh.engine.process.engines import CELLS, NO_CELLS
from tests.mesh.engine.process.strangers import heard, listening
from worker.rpc_server import RpcServer

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell who listens")


async def found_by_a_stranger(engine: Engine, folder: Path) -> list[bytes]:
    """What a stranger hears wherever it or we listen while it serves."""
    server = RpcServer(engine.rpc_server, folder / "log", lent=1 << 30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        with trio.fail_after(20):
            await server.wait_ready()
        said = await heard(listening())
        await server.stop()
    return list(said.values())


@LINUX
@CELLS
async def test_a_server_in_its_cell_listens_nowhere_on_the_machine(engine: Engine, tmp_path: Path) -> None:
    assert await found_by_a_stranger(engine, tmp_path) == []


@LINUX
async def test_without_cells_a_stranger_who_looks_finds_the_server(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "isolation", lambda: NO_CELLS)
    (answer,) = await found_by_a_stranger(engine, tmp_path)
    assert answer

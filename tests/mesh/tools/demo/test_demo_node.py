"""A node of the demo is a whole sidecar, which ends with the demo and not by itself."""

import os
import signal
from pathlib import Path

import pytest
import trio

from mesh.control.operations import INFO, JOIN
from mesh.tools.demo.demo_node import DemoNode
from mesh.wire.errors import MeshError

pytestmark = pytest.mark.usefixtures("engine")
MEMORY = 60 << 20


async def process_of(node: DemoNode) -> int:
    with trio.fail_after(30):
        await node.is_up()
    return (await node.ask(INFO.request({})))["pid"]


async def test_it_founds_a_pool_and_ends_with_the_nursery(tmp_path: Path) -> None:
    node = DemoNode("alpha", tmp_path, MEMORY)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            process = await process_of(node)
            await node.ask(JOIN.request({"found": True}))
            status = await node.status_when(lambda status: status["leader"] is not None)
            [member] = status["members"]
            assert (member["name"], member["memory"]["offered"]) == ("alpha", MEMORY)
            nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    node.clean()
    assert not node.socket.exists()


async def test_a_killed_node_is_no_failure(tmp_path: Path) -> None:
    node = DemoNode("alpha", tmp_path, MEMORY)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            await process_of(node)
            node.kill()
    node.clean()


async def test_a_node_that_ends_by_itself_says_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "alpha").write_text("no folder")
    with trio.fail_after(60), pytest.raises(MeshError, match=r"the sidecar of alpha ended with 1\n.*alpha"):
        await DemoNode("alpha", tmp_path, MEMORY).run()


async def test_a_node_that_somebody_else_ends_ends_the_demo(tmp_path: Path) -> None:
    node = DemoNode("alpha", tmp_path, MEMORY)

    async def end_it() -> None:
        os.kill(await process_of(node), signal.SIGTERM)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_it)
            with pytest.raises(MeshError, match="ended with 0"):
                await node.run()
    node.clean()

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import trio

from mesh.engine.process import memory_bound
from mesh.engine.process.restarts import Restarts
from mesh.engine.sandbox.launcher import missing
from mesh.engine.types import Engine
from tests.mesh.engine.process.processes import is_gone, seconds_until_gone, start_python
from tests.waiting import until
from worker.rpc_server import RpcServer

LENT = 64 << 20
ALLOCATE, CLEAR = 0, 5
HELLO = bytes([14]) + (24).to_bytes(8, "little") + bytes(24)

SIDECAR = """
import sys, trio
from pathlib import Path
from worker.rpc_server import RpcServer
async def main():
    server = RpcServer(Path(sys.argv[1]), Path(sys.argv[2]), lent=1 << 30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await server.wait_ready()
        print(server.pid, flush=True)
trio.run(main)
"""


async def greet(stream: trio.abc.Stream) -> bytes:
    """A whole HELLO, from a client that really is one."""
    await stream.send_all(HELLO)
    reply = b""
    while len(reply) < 8 + 28:
        data = await stream.receive_some(64)
        assert data, "rpc-server closed the connection"
        reply += data
    return reply


@pytest.fixture
async def server(engine: Engine, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[RpcServer]:
    server = RpcServer(engine.rpc_server, tmp_path / "rpc.log", lent=LENT, restarts=Restarts(first=0.01))
    nursery.start_soon(server.run)
    with trio.fail_after(20):
        await server.wait_ready()
    yield server
    with trio.fail_after(20):
        await server.stop()


async def test_a_ready_server_answers_the_first_client_at_once(server: RpcServer) -> None:
    with trio.fail_after(5):
        async with await server.connect() as stream:
            reply = await greet(stream)
    assert reply[8:10] == bytes([7, 0])


@pytest.mark.skipif(bool(missing()), reason="this machine has no whole sandbox")
async def test_the_real_server_serves_from_within_the_sandbox(server: RpcServer) -> None:
    with trio.fail_after(5):
        async with await server.connect() as stream:
            await greet(stream)
    process = psutil.Process(server.pid)
    assert process.exe().endswith("rpc-server")
    status = await trio.Path(f"/proc/{server.pid}/status").read_text()
    assert {"NoNewPrivs:\t1", "Seccomp:\t2", f"CapEff:\t{0:016x}"} <= set(status.splitlines())
    assert "MESH_TEST_SESSION" not in process.environ()


async def told(stream: trio.abc.Stream, command: int, body: bytes) -> bytes:
    """What rpc-server answers to a command; empty once it is gone."""
    await stream.send_all(bytes([command]) + len(body).to_bytes(8, "little") + body)
    reply = b""
    while len(reply) < 8 or len(reply) < 8 + int.from_bytes(reply[:8], "little"):
        data = await stream.receive_some(64)
        if not data:
            return b""
        reply += data
    return reply[8:]


@pytest.mark.parametrize("by_group", [True, False], ids=["where groups can be", "without groups"])
async def test_a_leader_that_takes_more_than_is_lent_ends_the_engine(
    engine: Engine, tmp_path: Path, nursery: trio.Nursery, by_group: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_group:
        monkeypatch.setattr(memory_bound, "control_group", lambda most: None)
    server = RpcServer(engine.rpc_server, tmp_path / "rpc.log", lent=LENT, restarts=Restarts(first=0.01))
    nursery.start_soon(server.run)
    with trio.fail_after(30):
        await server.wait_ready()
        first = server.pid
        async with await server.connect() as stream:
            await greet(stream)
            size = (512 << 20).to_bytes(8, "little")
            buffer = await told(stream, ALLOCATE, bytes(4) + size)
            with suppress(trio.BrokenResourceError):
                await told(stream, CLEAR, buffer[:8] + b"\x01")
                await stream.receive_some(1)
        await until(lambda: server.pid not in (first, None))
        await server.wait_ready()
        assert server.end is not None
        assert server.end.reason == server.problem
        assert re.match("rpc-server took (more|.* of) memory", server.problem)
        assert server.problem.endswith("326 MiB of what is lent")
        await server.stop()


async def test_memory_that_no_machine_has_is_refused(server: RpcServer) -> None:
    with trio.fail_after(10):
        async with await server.connect() as stream:
            await greet(stream)
            answer = await told(stream, ALLOCATE, bytes(4) + (1 << 46).to_bytes(8, "little"))
            assert answer[:8] == bytes(8)


async def test_a_server_that_crashes_is_ready_again(server: RpcServer) -> None:
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with trio.fail_after(20):
        await until(lambda: server.pid not in (first, None))
        await server.wait_ready()
        async with await server.connect() as stream:
            await greet(stream)


async def test_how_it_ended_is_kept_until_its_next_client_comes(server: RpcServer) -> None:
    async with await server.connect() as stream:
        await greet(stream)
        assert await server.ended(0) is None
        os.kill(server.pid or 0, signal.SIGSEGV)
        with trio.fail_after(20):
            end = await server.ended(20)
    assert end is not None
    assert end.reason == "rpc-server was killed by SIGSEGV"
    assert any("Accepted client connection" in line for line in end.lines)
    assert len(end.lines) <= 20
    with trio.fail_after(20):
        await server.wait_ready()
        assert await server.ended(0) == end
        assert server.has_failed
        async with await server.connect():
            assert await server.ended(0) is None


async def test_clients_that_vanish_in_the_middle_of_an_answer_do_not_kill_it(server: RpcServer) -> None:
    pid = server.pid
    with trio.fail_after(20):
        for _ in range(20):
            stream = await server.connect()
            await stream.send_all(HELLO + bytes([15]) + bytes(8))
            stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            stream.socket.close()
        await server.free_up()
    assert server.pid == pid


async def test_free_up_waits_for_the_client_to_be_gone(server: RpcServer) -> None:
    with trio.fail_after(20):
        stream = await server.connect()
        await greet(stream)
        with trio.move_on_after(0.1) as waited:
            await server.free_up(limit=100)
        assert waited.cancelled_caught
        await stream.aclose()
        await server.free_up(limit=100)


async def test_one_that_has_just_ended_is_freed_up_at_once(server: RpcServer) -> None:
    async with await server.connect() as stream:
        await greet(stream)
        os.kill(server.pid or 0, signal.SIGKILL)
        with trio.fail_after(20):
            await server.free_up(limit=100)


async def test_free_up_replaces_a_server_that_is_stuck_with_its_client(server: RpcServer) -> None:
    pid = server.pid
    assert pid is not None
    with trio.fail_after(20):
        async with await server.connect() as stream:
            await greet(stream)
            os.kill(pid, signal.SIGSTOP)
        await server.free_up(limit=0.2)
        assert server.pid != pid
        async with await server.connect() as stream:
            await greet(stream)
    assert is_gone(pid)


async def test_a_server_that_is_stopped_is_replaced_and_its_client_cut_off(server: RpcServer) -> None:
    pid = server.pid
    assert pid is not None
    with trio.fail_after(20):
        async with await server.connect() as stream:
            await greet(stream)
            os.kill(pid, signal.SIGSTOP)
            with suppress(trio.BrokenResourceError):
                assert await stream.receive_some(1) == b""
        await until(lambda: server.pid not in (pid, None))
        await server.wait_ready()
    assert server.end is not None
    assert server.end.reason == "rpc-server was stopped"
    assert is_gone(pid)


async def test_a_sidecar_killed_without_warning_takes_its_server_along(
    engine: Engine, tmp_path: Path
) -> None:
    sidecar = start_python(SIDECAR, str(engine.rpc_server), str(tmp_path / "log"))
    assert sidecar.stdout is not None
    with sidecar, sidecar.stdout:
        pid = int(await trio.to_thread.run_sync(sidecar.stdout.readline))
        assert not is_gone(pid)
        sidecar.kill()
        assert await seconds_until_gone(pid) < 2.0

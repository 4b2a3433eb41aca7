"""llama-server, tunnels to workers, and another local user who looks for both."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

import leader.llama.llama_server as module
from leader.llama.llama_server import LlamaServer
from leader.llama.tunnels import OpenTunnel, open_tunnels
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from leader.placement.rpc_groups import RpcGroup
from mesh.net.stream_ends import Plain
from tests.leader.shapes import host, model_info, worker
from tests.mesh.engine.process.engines import CELLS, NO_CELLS
from tests.mesh.engine.process.strangers import heard, listening
from tests.waiting import until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell who listens")
BOTH = pytest.mark.parametrize("cells", [pytest.param(True, marks=CELLS), False], ids=["cell", "loopback"])

# It hears each worker before it is healthy, and says by HTTP what it heard.
PROGRAM = f"""#!{sys.executable}
import socket, sys
given = dict(zip(sys.argv[1:], sys.argv[2:]))
server = socket.create_server((given["--host"], int(given["--port"])))
workers = []
for endpoint in given["--rpc"].split(","):
    there, _, port = endpoint.partition(":")
    workers.append(socket.create_connection((there, int(port))))
heard = b"".join(worker.recv(100) for worker in workers)
while True:
    client, _ = server.accept()
    with client:
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + heard)
"""
WORKERS_WORD = b"the worker's HELLO"


@dataclass
class Worker:
    """All workers: each tunnel to them is a connection whose other end has spoken."""

    tunnels: list[bytes] = field(default_factory=list)
    ends: list[socket.socket] = field(default_factory=list)

    async def open(self, group: RpcGroup) -> OpenTunnel:
        self.tunnels.append(group.member)
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = await trio.open_tcp_stream(*server.getsockname())
            far, _ = server.accept()
        far.sendall(WORKERS_WORD)
        self.ends.append(far)
        return OpenTunnel(self, Plain.take(near))

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        for end in self.ends:
            end.close()


@asynccontextmanager
async def serving(folder: Path, workers: Worker) -> AsyncIterator[LlamaServer]:
    program = folder / "llama-server"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    plan = place(
        model_info(),
        [host(), worker(1), worker(2)],
        EngineSettings(512, 1),
        {host().key: 2, worker(1).key: 3},
    )
    async with open_tunnels(workers.open) as tunnels, trio.open_nursery() as nursery:
        server = LlamaServer(program, plan, tunnels.listen, folder / "log")
        nursery.start_soon(server.run)
        await until(lambda: server.state.phase == "ready")
        yield server
        await server.stop()
    await workers.aclose()


@LINUX
@BOTH
async def test_no_worker_hears_or_answers_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: bool
) -> None:
    if not cells:
        monkeypatch.setattr(module, "isolation", lambda: NO_CELLS)
    workers = Worker()
    async with serving(tmp_path, workers) as server:
        assert sorted(workers.tunnels) == sorted(server.plan.workers)
        found = listening()
        assert len(found) == (0 if cells else 1 + len(server.plan.workers))
        for _ in range(3):
            said = [answer for answer in (await heard(found)).values() if answer]
            # What remains without cells is the engine's own port.
            assert len(said) == (0 if cells else 1)
            assert all(answer.startswith(b"HTTP/1.0 200") for answer in said)
        assert sorted(workers.tunnels) == sorted(server.plan.workers), "no stranger got a tunnel"

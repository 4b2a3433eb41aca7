"""The gate between a real llama-server and a real rpc-server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from mesh.engine.process.child import Process
from mesh.engine.process.restarts import Restarts
from mesh.engine.process.rpc_port import free_port
from mesh.engine.types import Engine
from mesh.net.stream_ends import Plain
from mesh.tools.generator import generate, spec_of_size
from mesh.wire.endpoint import Endpoint
from tests.waiting import until
from worker.gate import Gate
from worker.rpc_server import RpcServer

ALICE, BOB = b"a" * 16, b"b" * 16


class Claim:
    def __init__(self, author: bytes, term: int) -> None:
        self.author = author
        self.term = term


class Tunnel:
    """A session that needs no network: llama-server's own connection."""

    def __init__(self, claim: Claim, stream: trio.SocketStream) -> None:
        self.peer = claim.author
        self.arguments = {"term": claim.term}
        self.stream = stream

        self.local = self.remote = Endpoint("127.0.0.1", 50052)

    async def send_message(self, message: Any, /) -> None:
        """The leader's end of the tunnel would read it."""

    async def receive_message(self, limit: int = 0, /) -> Any:
        raise AssertionError("nothing was agreed upon")

    async def unwrap(self) -> Plain:
        raise AssertionError("nothing was agreed upon")

    def sealed(self) -> Any:
        return Plain.take(self.stream)

    async def aclose(self) -> None:
        self.stream.socket.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("model") / "small.gguf", spec_of_size(8 << 20))[0]


@pytest.fixture
async def server(engine: Engine, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[RpcServer]:
    server = RpcServer(
        engine.rpc_server, tmp_path / "rpc.log", lent=1 << 30, threads=1, restarts=Restarts(first=0.01)
    )
    nursery.start_soon(server.run)
    with trio.fail_after(30):
        await server.wait_ready()
        yield server
        await server.stop()


class Leader:
    """A llama-server whose only layers are behind the gate."""

    def __init__(self, process: Process, url: str, lines: list[str]) -> None:
        self.process = process
        self.url = url
        self.lines = lines

    async def ready(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self.process.returncode is None, self.lines[-20:]
                try:
                    if (await client.get(f"{self.url}/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await trio.sleep(0.02)

    async def answer(self) -> str:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            body = {"prompt": "hello", "n_predict": 8, "temperature": 0, "cache_prompt": False}
            response = await client.post(f"{self.url}/completion", json=body)
            response.raise_for_status()
            return str(response.json()["content"])


@asynccontextmanager
async def leader(engine: Engine, model: Path, gate: Gate, claim: Claim) -> AsyncIterator[Leader]:
    async def tunnel(stream: trio.SocketStream) -> None:
        await gate.handle(Tunnel(claim, stream))

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, tunnel, [listener])
        rpc, http = listener.socket.getsockname()[1], free_port()
        argv = [
            *(str(engine.llama_server), "-m", str(model), "--host", "127.0.0.1", "--port", str(http)),
            *("--rpc", f"127.0.0.1:{rpc}", "--device", "RPC0", "-ngl", "99", "-fit", "off", "-c", "256"),
            *("-np", "1", "-t", "1", "-cram", "0", "--no-warmup"),
        ]
        lines: list[str] = []
        process = Process(argv, environment={**os.environ, "GGML_NO_BACKTRACE": "1"})
        nursery.start_soon(process.run, lines.append)
        one = Leader(process, f"http://127.0.0.1:{http}", lines)
        await one.ready()
        yield one
        nursery.cancel_scope.cancel()


async def test_a_model_is_loaded_and_answers_through_the_gate(
    engine: Engine, model: Path, server: RpcServer
) -> None:
    gate = Gate(server)
    gate.set_holder(Claim(ALICE, 1))
    async with leader(engine, model, gate, Claim(ALICE, 1)) as one:
        first = await one.answer()
        assert len(first) > 0
        assert await one.answer() == first
        assert gate.counters.bytes_in > 4_000_000
        assert gate.counters.refused == 0


async def test_a_new_holder_loads_at_once_after_the_old_one_was_cut(
    engine: Engine, model: Path, server: RpcServer
) -> None:
    gate = Gate(server)
    gate.set_holder(Claim(ALICE, 1))
    pid = server.pid
    async with leader(engine, model, gate, Claim(ALICE, 1)) as old:
        answer = await old.answer()
        gate.set_holder(Claim(BOB, 2))
        async with leader(engine, model, gate, Claim(BOB, 2)) as new:
            assert await new.answer() == answer
        with pytest.raises(httpx.HTTPError):
            await old.answer()
        await until(lambda: old.process.returncode is not None)
    assert gate.counters.cut == 1
    assert server.pid == pid

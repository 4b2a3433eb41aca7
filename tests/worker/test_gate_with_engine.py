"""The gate between a real llama-server and a real rpc-server."""

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
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
from tests.worker.lent import part
from worker.gate import Gate
from worker.rpc_servers import RpcServers

ALICE, BOB = b"a" * 16, b"b" * 16

Groups = Sequence[Sequence[str]]
ONE: Groups = ((),)


class Claim:
    def __init__(self, author: bytes, term: int) -> None:
        self.author = author
        self.term = term


class Tunnel:
    """A session that needs no network: llama-server's own connection."""

    def __init__(self, claim: Claim, devices: Sequence[str], stream: trio.SocketStream) -> None:
        self.peer = claim.author
        self.arguments = {"term": claim.term, "devices": [*devices]}
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
async def servers(engine: Engine, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[RpcServers]:
    servers = RpcServers(
        engine.rpc_server,
        [part(0), part(1)],
        lambda name: tmp_path / f"{name}.log",
        threads=1,
        restarts=Restarts(first=0.01),
    )
    nursery.start_soon(servers.run)
    with trio.fail_after(60):
        await servers.wait_ready()
        yield servers


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
async def leader(
    engine: Engine, model: Path, gate: Gate, claim: Claim, groups: Groups = ONE, placement: Sequence[str] = ()
) -> AsyncIterator[Leader]:
    """It reaches the rpc-server of each group of devices."""

    async def tunnel(devices: Sequence[str], stream: trio.SocketStream) -> None:
        await gate.handle(Tunnel(claim, devices, stream))

    async with trio.open_nursery() as nursery:
        endpoints = []
        for group in groups:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, partial(tunnel, group), [listener])
            endpoints.append(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        http = free_port()
        argv = [
            *(str(engine.llama_server), "-m", str(model), "--host", "127.0.0.1", "--port", str(http)),
            *("--rpc", ",".join(endpoints), "-ngl", "99", "-fit", "off", "-c", "256"),
            *(placement or ("--device", "RPC0")),
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
    engine: Engine, model: Path, servers: RpcServers
) -> None:
    gate = Gate(servers)
    gate.set_holder(Claim(ALICE, 1))
    async with leader(engine, model, gate, Claim(ALICE, 1)) as one:
        first = await one.answer()
        assert len(first) > 0
        assert await one.answer() == first
        assert gate.counters.bytes_in > 4_000_000
        assert gate.counters.refused == 0


async def test_a_new_holder_loads_at_once_after_the_old_one_was_cut(
    engine: Engine, model: Path, servers: RpcServers
) -> None:
    gate = Gate(servers)
    gate.set_holder(Claim(ALICE, 1))
    server = servers.server([])
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


@pytest.mark.parametrize(
    "groups", [(["cpu:0"], ["cpu:1"]), (["cpu:0", "cpu:1"],), (["cpu:1", "cpu:0"],)], ids=str
)
async def test_a_split_over_two_devices_answers_alike_however_they_are_grouped(
    engine: Engine, model: Path, servers: RpcServers, groups: Groups
) -> None:
    gate = Gate(servers)
    gate.set_holder(Claim(ALICE, 1))
    async with leader(engine, model, gate, Claim(ALICE, 1)) as one:
        whole = await one.answer()
    used = [servers.server(group) for group in groups]
    for server in used:
        await server.wait_ready()  # as a leader does, which asks for each before it starts
    split = ["--device", "RPC0,RPC1", "-ts", "1,1", "-v"]
    async with leader(engine, model, gate, Claim(ALICE, 1), groups, split) as one:
        assert await one.answer() == whole
        assert len({server.pid for server in used}) == len(groups)
        layers = re.findall(r"layer +\d+ assigned to device (\w+)", "\n".join(one.lines))
        assert set(layers) == {"RPC0", "RPC1"}
    assert gate.counters.cut == 0

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from mesh.gateway.entry.entrances import Entrance, Guard, let_pass
from mesh.gateway.http_server import serve_gateway
from tests.mesh.gateway.doubles import Call, Client, Script, ScriptedBackend

Connect = Callable[[], Awaitable[Client]]


class RunningGateway:
    """A gateway that is open, the node behind it, and its clients."""

    def __init__(self, node: ScriptedBackend, port: int) -> None:
        self.node = node
        self.port = port
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(await trio.open_tcp_stream("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def fetch(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        client = await self.connect()
        await client.ask(method, target, body, **headers)
        return await client.answer()


StartGateway = Callable[..., Awaitable[RunningGateway]]


async def _unasked(call: Call) -> None:
    raise AssertionError("nobody was to ask the leader")


@pytest.fixture
async def start_gateway(nursery: trio.Nursery) -> AsyncIterator[StartGateway]:
    """Open a gateway before a leader that follows a script."""
    gateways: list[RunningGateway] = []

    async def open_one(
        script: Script = _unasked, api_key: str | None = None, guard: Guard = let_pass, **options: Any
    ) -> RunningGateway:
        node = ScriptedBackend(nursery, script)
        entrance = Entrance("127.0.0.1", 0, api_key, guard)

        async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
            await serve_gateway([entrance], node, task_status=task_status, **options)

        [(_, port)] = await nursery.start(serve)
        gateways.append(RunningGateway(node, port))
        return gateways[-1]

    yield open_one
    for gateway in gateways:
        gateway.node.tell.close()
        for client in gateway.clients:
            await trio.aclose_forcefully(client.stream)

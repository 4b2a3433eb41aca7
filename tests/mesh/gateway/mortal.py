"""A gateway's backend whose leader is a real llama-server that dies after so many events, and comes again."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from mesh.engine.types import Engine
from mesh.gateway.backend import NotReady, Serving
from mesh.gateway.entry.entrances import Entrance
from mesh.gateway.http_server import serve_gateway
from mesh.net.stream_kinds import StreamKind
from tests.leader.llama.bare_server import bare_server
from tests.mesh.gateway.doubles import STATUS
from tests.mesh.gateway.miniature_door import take_up_answers

EVENT = b"data: {"
ARGUMENTS = ("-t", "1", "--no-kv-unified")


class Mortal:
    """``deaths`` are numbers of events: after so many of one stream have come, the process is killed.

    ``crumbs`` bytes of the event after that still arrive. Each death is died once, in order.
    """

    def __init__(self, engine: Engine, model: Path, folder: Path, *arguments: str) -> None:
        self.deaths: list[int] = []
        self.crumbs = 0
        self.asked: list[bytes] = []
        self.url: str | None = None
        self._engine = engine
        self._model = model
        self._folder = folder
        self._arguments = arguments
        self._killed = trio.Event()
        self.nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Have a llama-server run, always a new one."""
        async with trio.open_nursery() as self.nursery:
            await self._have_one_run()

    async def _have_one_run(self) -> None:
        while True:
            self._killed = trio.Event()
            server = bare_server(
                self._engine.llama_server, self._model, self._folder, *ARGUMENTS, *self._arguments
            )
            try:
                async with server as self.url:
                    await self._killed.wait()
                    self.url = None
            except AssertionError as error:
                # Its port was free a moment ago, and is not any more.
                if "couldn't bind" not in str(error):
                    raise

    def die(self) -> None:
        self.url = None
        self._killed.set()

    async def open_leader(self, kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        if self.url is None:
            raise NotReady("the model is loading", 1.0)
        if kind is StreamKind.API:
            return await self._connect()
        assert self.nursery is not None
        near, far = trio.testing.memory_stream_pair()
        self.nursery.start_soon(take_up_answers, far, self._connect)
        return near

    async def _connect(self) -> trio.abc.Stream:
        if self.url is None:
            raise trio.BrokenResourceError
        port = int(self.url.rpartition(":")[2])
        return _Mortal(self, await trio.open_tcp_stream("127.0.0.1", port))

    def refused(self) -> None:
        return None

    def serving(self) -> Serving | None:
        return Serving("b", "0")

    def status(self) -> Mapping[str, Any]:
        return STATUS

    async def changes(self) -> AsyncIterator[None]:
        while True:
            await trio.sleep(3600)
            yield


class _Mortal(trio.abc.Stream):
    """A connection to llama-server that breaks when it is to die."""

    def __init__(self, leader: Mortal, stream: trio.SocketStream) -> None:
        self._leader = leader
        self._stream = stream
        self._events = 0
        self._broken = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._leader.asked.append(bytes(data))
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._broken:
            raise trio.BrokenResourceError
        data = bytes(await self._stream.receive_some(max_bytes))
        deaths = self._leader.deaths
        if not deaths:
            return data
        while any(data.endswith(EVENT[:length]) for length in range(1, len(EVENT))):
            data += bytes(await self._stream.receive_some(max_bytes))
        passed = b""
        while (found := data.find(EVENT)) != -1:
            if self._events == deaths[0]:
                deaths.pop(0)
                self._broken = True
                self._leader.die()
                return passed + data[: found + self._leader.crumbs]
            self._events += 1
            passed += data[: found + len(EVENT)]
            data = data[found + len(EVENT) :]
        return passed + data

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def mortal_gateway(
    engine: Engine, model: Path, folder: Path, *arguments: str
) -> AsyncIterator[tuple[Mortal, str]]:
    """A gateway before a leader that dies; gives the leader and the gateway's address."""
    leader = Mortal(engine, model, folder, *arguments)

    async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await serve_gateway([Entrance("127.0.0.1", 0)], leader, task_status=task_status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leader.run)
        [(_, port)] = await nursery.start(serve)
        yield leader, f"http://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()

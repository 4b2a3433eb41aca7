"""A leader's door that judges nothing: it only takes up answers, on the one slot of its llama-server."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from mesh.gateway.connection import Connection, HttpExchange
from mesh.gateway.leaders import RequestRefused
from mesh.gateway.replies import error_reply
from mesh.gateway.resuming.resume_request import RESUME_PATH, ResumeRequest
from mesh.gateway.upstream import ENGINE_DIED, Head, Upstream, UpstreamLost
from mesh.serving.resume_reading import ResumeReading
from mesh.serving.resumption import ResumeRun

Connect = Callable[[], Awaitable[trio.abc.Stream]]


class PlainEngine:
    """A `mesh.serving.resumption.EngineConnection` that keeps one connection."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._upstream: Upstream | None = None

    async def send(self, method: str, path: str, body: bytes) -> Head:
        if self._upstream is None or not self._upstream.next_exchange():
            await self.aclose()
            self._upstream = Upstream(await self._connect())
        headers = [(b"host", b"localhost"), (b"content-length", b"%d" % len(body))]
        await self._upstream.send_head(method, path.encode(), headers)
        await self._upstream.send_body(body)
        await self._upstream.end_request()
        return await self._upstream.receive_head()

    async def receive(self) -> bytes:
        assert self._upstream is not None
        return await self._upstream.receive()

    async def rest(self) -> bytes:
        content = b""
        while piece := await self.receive():
            content += piece
        return content

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        head = await self.send("POST", path, json.dumps(body).encode())
        content = await self.rest()
        if head.status != 200:
            raise RequestRefused(f"llama-server answered {head.status}: {content.decode()}")
        return json.loads(content)

    async def aclose(self) -> None:
        if self._upstream is not None:
            await self._upstream.aclose()


async def take_up_answers(
    stream: trio.abc.HalfCloseableStream,
    connect: Connect,
    asked: Callable[[ResumeRequest], None] = lambda request: None,
) -> None:
    """Serve a stream of the kind ``resume``; ``asked`` is told what is asked for."""
    await Connection(stream, partial(_handle, connect=connect, asked=asked), "").run()


async def _handle(exchange: HttpExchange, connect: Connect, asked: Callable[[ResumeRequest], None]) -> None:
    assert (exchange.request.method, exchange.request.path) == ("POST", RESUME_PATH)
    content = b""
    while piece := await exchange.receive_body():
        content += piece
    request, question = await ResumeReading().read(content)
    asked(request)
    engine = PlainEngine(connect)
    try:
        await ResumeRun(request.judged(json.loads(question)), exchange, engine).run(0, True)
    except UpstreamLost as error:
        if exchange.status is None:
            await exchange.reply(error_reply(503, "engine_died", str(error), [(ENGINE_DIED, b"1")]))
        else:
            exchange.abort()
    finally:
        await engine.aclose()

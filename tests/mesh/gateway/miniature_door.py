"""A leader's door that judges nothing: it only takes up answers, on the one slot of its llama-server."""

import json
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from mesh.gateway.connection import Connection, HttpExchange
from mesh.gateway.replies import error_reply
from mesh.gateway.resuming.resume_request import RESUME_PATH, ResumeRequest, decode_resume_request
from mesh.gateway.upstream import ENGINE_DIED, UpstreamLost
from mesh.serving.asking.engine_client import EngineClient
from mesh.serving.asking.resumption import ResumeRun

Connect = Callable[[], Awaitable[trio.abc.Stream]]


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
    request = decode_resume_request(content)
    asked(request)
    engine = EngineClient(connect)
    try:
        await ResumeRun(request.judged(json.loads(request.question())), exchange, engine).run(0, True)
    except UpstreamLost as error:
        if exchange.status is None:
            await exchange.reply(error_reply(503, "engine_died", str(error), [(ENGINE_DIED, b"1")]))
        else:
            exchange.abort()
    finally:
        await engine.aclose()

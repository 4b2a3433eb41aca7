"""A minimal HTTP client for servers on this machine: as much as a watchdog needs."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

LIMIT: Final = 1 << 20


Connect = Callable[[], Awaitable[trio.SocketStream]]
"""Opens a connection to the server."""


async def get(connect: Connect, path: str) -> tuple[int, bytes]:
    """Status and body of ``http://127.0.0.1/path``.

    Raises OSError or trio.BrokenResourceError when there is no answer. Waits without limit: the caller sets
    one.
    """
    return await _ask(connect, f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())


async def post(connect: Connect, path: str, body: bytes) -> tuple[int, bytes]:
    """The same for a POST of JSON; ``body`` is the encoded JSON."""
    head = f"POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return await _ask(connect, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def _ask(connect: Connect, request: bytes) -> tuple[int, bytes]:
    async with await connect() as stream:
        await stream.send_all(request)
        answer = bytearray()
        async for chunk in stream:
            answer += chunk
            if len(answer) > LIMIT:
                raise trio.BrokenResourceError(f"an answer of more than {LIMIT} bytes")
    return parse_answer(bytes(answer))


def parse_answer(answer: bytes) -> tuple[int, bytes]:
    """(status, body) of a whole answer; raises trio.BrokenResourceError where it is not HTTP."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if not separator or len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
        raise trio.BrokenResourceError("no HTTP answer")
    return int(words[1]), body

"""The door's requests to llama-server, each over a connection of its own."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import trio

from mesh.gateway.leaders import RequestRefused
from mesh.gateway.replies import Headers
from mesh.gateway.sse import generated_tokens
from mesh.gateway.upstream import Head, Upstream, UpstreamLost

WHOLE_LIMIT: Final = 64 << 20
"""Bytes of an answer that is read whole."""
TAIL: Final = 4096
"""Bytes at the end of an answer in which its numbers of tokens stand."""

Connect = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens a connection to llama-server. Raises OSError."""

_TIMINGS: Final = b'"timings":{'
_TIMINGS_BYTES: Final = 512
_HEADERS: Final = [(b"host", b"localhost"), (b"content-type", b"application/json")]
_READ: Final = re.compile(rb'"(?:prompt_tokens|tokens_evaluated)"\s*:\s*(\d{1,9})')
_NEW: Final = re.compile(rb'"prompt_n"\s*:\s*(\d{1,9})')
_CACHED: Final = re.compile(rb'"cache_n"\s*:\s*(\d{1,9})')
_MILLISECONDS: Final = re.compile(rb'"prompt_ms"\s*:\s*(\d{1,9}(?:\.\d+)?)')


class TokenCounts(NamedTuple):
    """What an answer says of itself: tokens of the prompt, tokens generated, and those computed in how long.

    ``prefilled`` tokens of the prompt were computed in ``prefill_seconds``; the others were in the slot.
    """

    prompt: int = 0
    generated: int = 0
    prefilled: int = 0
    prefill_seconds: float = 0.0

    @property
    def cached(self) -> int:
        """Tokens of the prompt that were not computed."""
        return max(0, self.prompt - self.prefilled)


class CountsReader:
    """Follows an answer to its end, and remembers where its numbers of tokens may stand."""

    def __init__(self) -> None:
        self._tail = b""
        self._timings = b""

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        window = self._tail[-len(_TIMINGS) :] + piece
        if 0 < len(self._timings) < _TIMINGS_BYTES:
            self._timings += piece[: _TIMINGS_BYTES - len(self._timings)]
        # Quotation marks in a text are escaped: nothing that a model says looks like this.
        if (at := window.rfind(_TIMINGS)) >= 0:
            self._timings = window[at : at + _TIMINGS_BYTES]
        self._tail = piece[-TAIL:] if len(piece) >= TAIL else (self._tail + piece)[-TAIL:]

    def counts(self) -> TokenCounts:
        """What the answer said of itself: at its end, or before many probabilities of tokens."""
        counts = read_token_counts(self._tail)
        return counts if counts.generated or counts.prompt else read_token_counts(self._timings)


def read_token_counts(tail: bytes) -> TokenCounts:
    """Read the end of an answer, a stream or whole; zeros where it says nothing."""
    new, cached = _last(_NEW, tail), _last(_CACHED, tail)
    prompt = _last(_READ, tail) or new + cached
    milliseconds = _MILLISECONDS.findall(tail)
    seconds = float(milliseconds[-1]) / 1000 if milliseconds else 0.0
    return TokenCounts(prompt, generated_tokens(tail) or 0, new, seconds)


def _last(pattern: re.Pattern[bytes], text: bytes) -> int:
    found = pattern.findall(text)
    return int(found[-1]) if found else 0


class EngineClient:
    """A connection to llama-server, for one exchange after the other."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._upstream: Upstream | None = None

    async def send(self, method: str, path: str, body: bytes) -> Head:
        """Send a request; return the answer's head. Raises `UpstreamLost`."""
        await self.send_request(method, path, body)
        return await self.head()

    async def send_request(self, method: str, path: str, body: bytes) -> None:
        """Send a request, whose answer's `head` is next. Raises `UpstreamLost`."""
        if self._upstream is None or not self._upstream.next_exchange():
            await self.aclose()
            try:
                self._upstream = Upstream(await self._connect())
            except OSError as error:
                raise UpstreamLost("llama-server takes no connection") from error
        headers: Headers = [*_HEADERS, (b"content-length", b"%d" % len(body))] if body else _HEADERS[:1]
        upstream = self._upstream
        with suppress(UpstreamLost):  # it may have answered before it read all: look
            await upstream.send_request(method, path.encode(), headers, body)

    async def head(self) -> Head:
        """Wait for the answer's head; again, where that was cancelled. Raises `UpstreamLost`."""
        assert self._upstream is not None
        return await self._upstream.receive_head()

    async def receive(self) -> bytes:
        """Return the next piece of the answer, empty at its proper end. Raises `UpstreamLost`."""
        return b"" if self._upstream is None else await self._upstream.receive()

    async def rest(self) -> bytes:
        """Read what is left of an answer. Raises `UpstreamLost`."""
        content = bytearray()
        while piece := await self.receive():
            content += piece
            if len(content) > WHOLE_LIMIT:
                raise UpstreamLost("llama-server's answer is too large")
        return bytes(content)

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Ask for a whole answer in JSON. Raises `RequestRefused` and `UpstreamLost`."""
        head = await self.send("POST", path, json.dumps(body).encode())
        content = await self.rest()
        if head.status != 200:
            text = content[:300].decode(errors="replace")
            raise RequestRefused(f"llama-server answered {head.status}: {text}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UpstreamLost("llama-server's answer is no JSON") from error

    async def aclose(self) -> None:
        """Close the connection, which ends what it asked for. A second call does nothing."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.aclose()


@asynccontextmanager
async def engine_client(connect: Connect) -> AsyncIterator[EngineClient]:
    """Have a client, and close it."""
    client = EngineClient(connect)
    try:
        yield client
    finally:
        await client.aclose()

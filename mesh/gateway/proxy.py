"""The pass-through: a request goes to the leader as it comes, the answer comes back as it is made."""

from collections.abc import Iterable
from typing import Final

import trio

from mesh.gateway.backend import Backend, NotReady
from mesh.gateway.connection import BadRequest, ClientGone, Exchange, Request
from mesh.gateway.counters import Counters
from mesh.gateway.replies import Headers, error_event, error_reply, unavailable
from mesh.gateway.sse import EventFramer, generated_tokens
from mesh.gateway.upstream import Head, Upstream, UpstreamLost
from mesh.wire.errors import MeshError

MAX_IN_FLIGHT: Final = 256
"""Requests passed on at a time; more are asked to come again."""
OPEN_LIMIT: Final = 10.0
"""Seconds for a stream to the leader to be opened."""
FAREWELL_LIMIT: Final = 0.2
"""Seconds in which a stream that is cut off by the gateway's own end is told so."""
_TAIL: Final = 4096
"""Bytes at the end of a whole answer in which its number of tokens is looked for."""

# RFC 9110, section 7.6.1; and what is meant for us alone: keys stay here, and the leader has another name.
_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade".split()
)
_OURS_ALONE: Final = frozenset(b"host expect authorization".split())

_PROPER_ENDS: Final = {
    "/v1/chat/completions": b"data: [DONE]",
    "/chat/completions": b"data: [DONE]",
    "/v1/completions": b"data: [DONE]",
    "/completion": b'"stop":true',
    "/completions": b'"stop":true',
}
"""What the last event of a whole stream holds. llama-server ends also a stream that it was told to stop in
good HTTP order; nothing but the missing last event tells it from an answer."""


class Proxy:
    """Passes exchanges on to whoever leads."""

    def __init__(self, backend: Backend, counters: Counters) -> None:
        self._backend = backend
        self._counters = counters

    async def handle(self, exchange: Exchange) -> None:
        """Answer one exchange by the leader's llama-server, or say why not."""
        if self._counters.in_flight >= MAX_IN_FLIGHT:
            await exchange.reply(unavailable("overloaded", f"{MAX_IN_FLIGHT} requests are in flight", 1))
            return
        self._counters.in_flight += 1
        try:
            await self._answer(exchange)
        except trio.Cancelled:
            if exchange.client_gone:
                self._counters.cancelled += 1
            else:
                await self._say_farewell(exchange)
            raise
        except ClientGone:
            self._counters.cancelled += 1
            raise
        finally:
            self._counters.in_flight -= 1

    async def _answer(self, exchange: Exchange) -> None:
        stage = "open"
        try:
            async with Upstream(await self._open()) as upstream:
                stage = "first_byte"
                await self._send_request(exchange, upstream)
                head = await upstream.receive_head()
                stage = "stream"
                await self._return_answer(exchange, upstream, head)
        except NotReady as error:
            await exchange.reply(unavailable("not_ready", str(error), error.retry_after))
        except BadRequest as error:
            await exchange.reply(error.reply)
        except MeshError as error:
            self._counters.upstream_failures[stage] += 1
            await self._lost(exchange, error)

    async def _open(self) -> trio.abc.Stream:
        try:
            with trio.fail_after(OPEN_LIMIT):
                return await self._backend.open_leader()
        except trio.TooSlowError as error:
            raise UpstreamLost("the leader does not answer") from error
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise UpstreamLost("the leader cannot be reached") from error

    async def _send_request(self, exchange: Exchange, upstream: Upstream) -> None:
        """Send the request on, piece by piece. A leader that cuts it short may have answered: go and see."""
        request = exchange.request
        try:
            await upstream.send_head(request.method, request.target, _request_headers(request))
            while piece := await exchange.receive_body():
                self._counters.request_bytes += len(piece)
                await upstream.send_body(piece)
            await upstream.end_request()
        except UpstreamLost:
            return

    async def _return_answer(self, exchange: Exchange, upstream: Upstream, head: Head) -> None:
        headers = _end_to_end(head.headers)
        if head.status == 503 and not any(name == b"retry-after" for name, _ in headers):
            headers.append((b"retry-after", b"2"))
        # An answer without a length is chunked anew, or ended by closing for a client of HTTP/1.0.
        await exchange.start(head.status, headers)
        if exchange.is_event_stream:
            await self._return_events(exchange, upstream)
        else:
            await self._return_bytes(exchange, upstream)

    async def _return_bytes(self, exchange: Exchange, upstream: Upstream) -> None:
        tail = b""
        while piece := await upstream.receive():
            await exchange.send(piece)
            self._counters.response_bytes += len(piece)
            tail = (tail + piece)[-_TAIL:]
        self._counters.tokens += generated_tokens(tail) or 0

    async def _return_events(self, exchange: Exchange, upstream: Upstream) -> None:
        """Pass whole events only: after a loss the error, or what continues the answer, begins on a seam."""
        framer = EventFramer()
        try:
            while piece := await upstream.receive():
                events = framer.feed(piece)
                await exchange.send(events)
                self._counters.response_bytes += len(events)
            await exchange.send(framer.rest())
        finally:
            self._counters.tokens += framer.tokens or framer.events
        proper_end = _PROPER_ENDS.get(exchange.request.path)
        if proper_end and proper_end not in framer.last and b'"error"' not in framer.last:
            raise UpstreamLost("the leader stopped before the answer's end")

    async def _lost(self, exchange: Exchange, error: MeshError) -> None:
        """The one place that is reached when the leader is lost: before the answer began, or within it.

        Here an exchange can be taken up again with the next leader. Until it is, the client is told: with an
        error, an error event, or, where neither fits any more, with an answer that visibly breaks off.
        """
        if exchange.status is None:
            await exchange.reply(error_reply(502, "upstream_lost", str(error)))
        elif exchange.is_event_stream:
            await exchange.send(error_event("upstream_lost", str(error)))
        else:
            exchange.abort()

    async def _say_farewell(self, exchange: Exchange) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(FAREWELL_LIMIT):
            try:
                if exchange.status is None:
                    await exchange.reply(unavailable("stopping", "this node's gateway is stopping", 5))
                elif exchange.is_event_stream:
                    await exchange.send(error_event("stopping", "this node's gateway is stopping"))
            except ClientGone:
                return


def _request_headers(request: Request) -> Headers:
    headers = [(b"host", b"localhost")]
    headers += [(name, value) for name, value in _end_to_end(request.headers) if name not in _OURS_ALONE]
    if any(name == b"transfer-encoding" for name, _ in request.headers):
        headers.append((b"transfer-encoding", b"chunked"))
    return headers


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    headers = list(headers)
    named = {
        name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")
    }
    # A length is never dropped, whatever Connection says: it frames the body that is passed on.
    dropped = (_HOP_BY_HOP | named) - {b"content-length"}
    return [(key, value) for key, value in headers if key not in dropped]

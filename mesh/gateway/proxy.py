"""Resumes completions with one leader or another, and passes other requests on as they arrive."""

from typing import Final, cast

import trio

from leader.door.writers.proper_ends import ends_properly
from mesh.gateway.backend import AskingRefused, NotReady
from mesh.gateway.completions.resumable_completion import ResumableCompletion
from mesh.gateway.connection import BadRequest, ClientGone, HttpExchange, Request
from mesh.gateway.counters import GatewayCounters
from mesh.gateway.headers import end_to_end, forwarded_headers
from mesh.gateway.leaders import Leaders
from mesh.gateway.replies import error_event, error_reply, refusal, unavailable
from mesh.gateway.resuming.answer import ResumableAnswer
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import DIALECTS, read_request
from mesh.gateway.sse import EventFramer, generated_tokens
from mesh.gateway.upstream import NOT_SERVING, Head, Upstream, UpstreamLost
from mesh.wire.errors import MeshError

MAX_IN_FLIGHT: Final = 256
"""Requests passed on at a time; the gateway refuses more with a Retry-After."""
ARRIVAL_PATIENCE: Final = 30.0
"""Seconds that a request waits for a leader before it is refused, unless it says otherwise."""
ANSWER_PATIENCE: Final = 300.0
"""Seconds that an answer which has begun waits for another leader, unless the request says otherwise."""
MAX_PATIENCE: Final = 3600.0
"""Seconds that a request may ask for."""
MAX_KEPT_BODY: Final = 2 << 20
"""Bytes of a request that is kept, to be sent to another leader; a larger one is passed on as it arrives."""
STOPPING_LIMIT: Final = 0.2
"""Seconds to tell a client that the gateway's own end cuts its stream off."""
_TAIL: Final = 4096
"""Bytes at the end of a whole answer in which the gateway looks for its number of tokens."""


class Proxy:
    """Passes exchanges on to the leader."""

    def __init__(self, leaders: Leaders, counters: GatewayCounters) -> None:
        self._leaders = leaders
        self._counters = counters

    async def handle(self, exchange: HttpExchange) -> None:
        """Answer one exchange by the leader's llama-server, or say why not."""
        if self._counters.in_flight >= MAX_IN_FLIGHT:
            reason = f"{MAX_IN_FLIGHT} requests are in flight"
            await exchange.reply(unavailable("overloaded", reason, 1, exchange.request.shape))
            return
        self._counters.in_flight += 1
        try:
            await self._answer(exchange)
        except trio.Cancelled:
            if exchange.client_gone:
                self._counters.cancelled += 1
            else:
                await self._tell_stopping(exchange)
            raise
        except ClientGone:
            self._counters.cancelled += 1
            raise
        finally:
            self._counters.in_flight -= 1

    async def _answer(self, exchange: HttpExchange) -> None:
        stage = "open"
        try:
            mode, patience = _resume_options(exchange.request)
            kept = mode != "off" and _may_be_kept(exchange.request)
            content = await self._read(exchange) if kept else b""
            attempt = await self._leaders.reach(ARRIVAL_PATIENCE if patience is None else patience)
            request = read_request(exchange.request.path, content) if len(content) <= MAX_KEPT_BODY else None
            if request is not None:
                answer = ResumableAnswer(request, cast(How | None, mode))
                wait = ANSWER_PATIENCE if patience is None else patience
                await ResumableCompletion(exchange, answer, content, self._leaders, self._counters, wait).run(
                    attempt
                )
                return
            async with attempt:
                stage = "first_byte"
                await self._send_request(exchange, attempt.upstream, content)
                head = await attempt.upstream.receive_head()
                stage = "stream"
                await self._return_answer(exchange, attempt.upstream, head)
        except AskingRefused as error:
            await exchange.reply(refusal(error.refused, exchange.request.shape))
        except NotReady as error:
            shape = exchange.request.shape
            await exchange.reply(unavailable("not_ready", str(error), error.retry_after, shape))
        except BadRequest as error:
            await exchange.reply(error.reply)
        except MeshError as error:
            self._counters.upstream_failures[stage] += 1
            await self._lost(exchange, error)

    async def _read(self, exchange: HttpExchange) -> bytes:
        """Read the body; of a large one, a little more than is kept."""
        content = bytearray()
        while len(content) <= MAX_KEPT_BODY and (piece := await exchange.receive_body()):
            self._counters.request_bytes += len(piece)
            content += piece
        return bytes(content)

    # --- passing on -----------------------------------------------------------------------------------

    async def _send_request(self, exchange: HttpExchange, upstream: Upstream, begun: bytes) -> None:
        """Send the request on, piece by piece.

        A leader that cuts it short may have answered: return and look.
        """
        request = exchange.request
        try:
            await upstream.send_head(request.method, request.target, forwarded_headers(request))
            if begun:
                await upstream.send_body(begun)
            while piece := await exchange.receive_body():
                self._counters.request_bytes += len(piece)
                await upstream.send_body(piece)
            await upstream.end_request()
        except UpstreamLost:
            return

    async def _return_answer(self, exchange: HttpExchange, upstream: Upstream, head: Head) -> None:
        if any(name == NOT_SERVING for name, _ in head.headers):
            # The leader said so before it knew the path.
            reason = "the leader's llama-server is not ready"
            await exchange.reply(unavailable("not_ready", reason, 2, exchange.request.shape))
            return
        headers = end_to_end(head.headers)
        if head.status == 503 and not any(name == b"retry-after" for name, _ in headers):
            headers.append((b"retry-after", b"2"))
        # h11 chunks an answer without a length anew; for a client of HTTP/1.0, closing ends it.
        await exchange.start(head.status, headers)
        if exchange.is_event_stream:
            await self._return_events(exchange, upstream)
        else:
            await self._return_bytes(exchange, upstream)

    async def _return_bytes(self, exchange: HttpExchange, upstream: Upstream) -> None:
        tail = b""
        while piece := await upstream.receive():
            await exchange.send(piece)
            self._counters.response_bytes += len(piece)
            tail = (tail + piece)[-_TAIL:]
        self._counters.tokens += generated_tokens(tail) or 0

    async def _return_events(self, exchange: HttpExchange, upstream: Upstream) -> None:
        """Pass whole events only, so that after a loss the error begins between two events."""
        framer = EventFramer()
        try:
            while piece := await upstream.receive():
                events = framer.feed(piece)
                await exchange.send(events)
                self._counters.response_bytes += len(events)
            await exchange.send(framer.rest())
        finally:
            self._counters.tokens += framer.tokens or framer.events
        if not ends_properly(exchange.request.path, framer.last):
            raise UpstreamLost("the leader stopped before the answer's end")

    async def _lost(self, exchange: HttpExchange, error: MeshError) -> None:
        """Tell the client that the leader is lost.

        By an error, by an error event, or, where neither fits any more, by an answer that visibly breaks off.
        """
        shape = exchange.request.shape
        if exchange.status is None:
            await exchange.reply(error_reply(502, "upstream_lost", str(error), shape=shape))
        elif exchange.is_event_stream:
            await exchange.send(error_event("upstream_lost", str(error), shape))
        else:
            exchange.abort()

    async def _tell_stopping(self, exchange: HttpExchange) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(STOPPING_LIMIT):
            shape, reason = exchange.request.shape, "this node's gateway is stopping"
            try:
                if exchange.status is None:
                    await exchange.reply(unavailable("stopping", reason, 5, shape))
                elif exchange.is_event_stream:
                    await exchange.send(error_event("stopping", reason, shape))
            except ClientGone:
                return


def _resume_options(request: Request) -> tuple[str | None, float | None]:
    """Read how the caller wants an answer resumed, and how many seconds to wait. Raises `BadRequest`."""
    mode = request.header(b"x-mesh-resume")
    if mode is not None and mode not in ("exact", "fast", "off"):
        text = "X-Mesh-Resume is one of exact, fast and off"
        raise BadRequest(error_reply(400, "bad_request", text, shape=request.shape))
    given = request.header(b"x-mesh-patience")
    try:
        patience = None if given is None else float(given)
    except ValueError:
        patience = -1.0
    if patience is not None and not 0 <= patience <= MAX_PATIENCE:
        text = f"X-Mesh-Patience is a number of seconds from 0 to {MAX_PATIENCE:.0f}"
        raise BadRequest(error_reply(400, "bad_request", text, shape=request.shape))
    return mode, patience


def _may_be_kept(request: Request) -> bool:
    length = int(request.header(b"content-length") or 0)
    return request.method == "POST" and request.path in DIALECTS and length <= MAX_KEPT_BODY

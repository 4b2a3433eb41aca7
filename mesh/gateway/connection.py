"""One client's connection: HTTP/1.1 by h11 over a trio stream, one exchange after the other.

Each exchange runs under its own cancel scope, which a hang-up cancels: work for a client that is gone ends at
the next checkpoint. A client that closes its sending side counts as gone; HTTP clients that want an answer do
not do that.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import h11
import trio

from leader.door.dialects.error_shapes import shape_of
from leader.door.orders import ErrorShape
from mesh.gateway.entry.heads import faulty_head
from mesh.gateway.replies import Headers, Reply, error_reply

MAX_HEAD: Final = 64 << 10
"""Bytes of a request line and its headers."""
MAX_BODY: Final = 64 << 20
"""Bytes of a request's body."""
HEAD_LIMIT: Final = 10.0
"""Seconds for a head from its first byte, and for the first head of a connection from its beginning."""
IDLE_LIMIT: Final = 75.0
"""Seconds from an answer to the first byte of the next request."""
BODY_LIMIT: Final = 60.0
"""Seconds between two pieces of a request's body."""
SEND_LIMIT: Final = 60.0
"""Seconds a client may take to read what is sent to it, while it occupies one of the leader's slots.

For a piece, and in all: beyond, it has to read `SLOWEST` at least.
"""
SLOWEST: Final = 4 << 10
"""Bytes a second that a client reads of a long answer; who waits for the answer itself is not slow."""
LINGER_LIMIT: Final = 1.0
"""Seconds for a last answer to reach a client that is still sending."""
MESSAGE_LIMIT: Final = 200
"""Characters of an error about a request, which may quote the request."""
_CHUNK: Final = 64 << 10

logger = logging.getLogger(__name__)


class ClientGone(Exception):
    """The client hung up, or reads nothing any more."""


class BadRequest(Exception):
    """The request cannot be read further; `reply` is the answer, unless one has begun."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. Header names are in lower case; `path` is as sent, without the query."""

    method: str
    target: bytes
    path: str
    headers: Headers
    local: str

    def header(self, name: bytes) -> str | None:
        """Return the first header of this name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)

    @property
    def shape(self) -> ErrorShape:
        """How clients of this path want errors."""
        return shape_of(self.path)


class HttpExchange:
    """A request and its answer."""

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self.request = request
        self.status: int | None = None
        self.is_event_stream = False
        self.client_gone = False
        self.sent = 0
        """Bytes of the answer's body so far."""
        self._received = 0
        self._stalled = 0.0

    async def receive_body(self) -> bytes:
        """Return the next piece of the body, empty at its end. Raises `BadRequest` and `ClientGone`."""
        piece = await self._connection.receive_body()
        self._received += len(piece)
        if self._received > MAX_BODY:
            raise BadRequest(_too_large(self.request))
        return piece

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer. Raises `ClientGone`."""
        headers = list(headers)
        self.status = status
        self.is_event_stream = any(
            name == b"content-type" and value.lower().startswith(b"text/event-stream")
            for name, value in headers
        )
        await self._connection.send_head(status, headers)

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer and wait until the client takes it. Raises `ClientGone`."""
        began = trio.current_time()
        await self._connection.send_data(data)
        self.sent += len(data)
        self._stalled += trio.current_time() - began
        if self._stalled > SEND_LIMIT + self.sent / SLOWEST:
            raise ClientGone

    async def reply(self, answer: Reply) -> None:
        """Send a whole answer. Raises `ClientGone`."""
        self.status = answer.status
        await self._connection.send_head(answer.status, answer.headers, answer.content)
        self.sent += len(answer.content)

    def abort(self) -> None:
        """Have the connection closed without a proper end, so that the client notices the loss."""
        self._connection.aborted = True


Handler = Callable[[HttpExchange], Awaitable[None]]


class Connection:
    """The server's end of a connection. It owns the stream's reading side and h11's state."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, handler: Handler, local: str) -> None:
        self._stream = stream
        self._handler = handler
        self._local = local
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._body_ended = trio.Event()
        self._bodiless = False
        self._closing = False
        self._has_served = False
        self._waiting = trio.CancelScope()
        self.idle_since: float | None = None
        """From when on it is the client's turn to send, a head or more of a body; None while it is ours."""
        self.aborted = False

    async def run(self) -> None:
        """Serve until either side closes, then close the stream."""
        try:
            while await self._serve_one():
                pass
            if not self.aborted:
                await self._linger()
        except (trio.BrokenResourceError, trio.ClosedResourceError, ClientGone):
            logger.debug("a client hung up")
        finally:
            await trio.aclose_forcefully(self._stream)

    async def judged_by(self, judge: Callable[[], Awaitable[Reply | None]]) -> Reply | None:
        """What ``judge`` says, before anything is read; None once the connection was told to close."""
        refusal = None
        with self._idle(math.inf):
            refusal = await judge()
        return None if self._closing else refusal

    async def turn_away(self, refusal: Reply) -> None:
        """Answer before anything is read, then close the stream."""
        self._closing = True
        try:
            await self.send_head(refusal.status, refusal.headers, refusal.content)
            await self._linger()
        except (trio.BrokenResourceError, trio.ClosedResourceError, ClientGone):
            logger.debug("a client hung up")
        finally:
            await trio.aclose_forcefully(self._stream)

    def close_when_idle(self) -> None:
        """Close the connection as soon as its client waits for no answer: at once, if it does not."""
        self._closing = True
        self._waiting.cancel()

    async def _serve_one(self) -> bool:
        """Answer one request; return whether another may follow."""
        try:
            request = await self._receive_head()
        except BadRequest as error:
            await self.send_head(error.reply.status, error.reply.headers, error.reply.content)
            return False
        if request is None:
            self.aborted = True
            return False
        exchange = HttpExchange(self, request)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, exchange, nursery.cancel_scope)
            await self._handle(exchange)
            nursery.cancel_scope.cancel()
        if exchange.client_gone or self.aborted:
            self.aborted = True
            return False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._has_served = True
        return True

    async def _receive_head(self) -> Request | None:
        """Return the next request, or None when the client has no more or is too slow."""
        self._body_ended = trio.Event()
        self._bodiless = False
        if self._closing:
            return None
        try:
            with self._idle(IDLE_LIMIT if self._has_served else HEAD_LIMIT):
                event, head = await self._read_head()
                if isinstance(event, h11.Request):
                    return self._request(event, head)
        except h11.RemoteProtocolError as error:
            raise BadRequest(
                error_reply(error.error_status_hint, "bad_request", str(error)[:MESSAGE_LIMIT])
            ) from error
        return None

    async def _read_head(self) -> tuple[h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED], bytes]:
        """What comes next, and its bytes. From the first one on it has `HEAD_LIMIT` seconds."""
        received = self._http.trailing_data[0]
        if received:
            self._hurry()
        while (event := await self._next_event()) is h11.NEED_DATA:
            data = await self._receive()
            if not received:
                self._hurry()
            self._http.receive_data(data)
            received = self._http.trailing_data[0]
        return event, received[: len(received) - len(self._http.trailing_data[0])]

    def _hurry(self) -> None:
        self._waiting.deadline = min(self._waiting.deadline, trio.current_time() + HEAD_LIMIT)

    @contextmanager
    def _idle(self, seconds: float) -> Iterator[None]:
        """It is the client's turn to send, for so long; meanwhile the connection may be told to close."""
        self._waiting = trio.move_on_after(seconds)
        self.idle_since = trio.current_time()
        try:
            with self._waiting:
                yield
        finally:
            self.idle_since = None

    def _request(self, event: h11.Request, head: bytes) -> Request:
        if fault := faulty_head(head, event.http_version):
            raise BadRequest(error_reply(fault.status, "bad_request", fault.message[:MESSAGE_LIMIT]))
        method = event.method.decode("ascii")
        self._bodiless = method == "HEAD"
        if not event.target.startswith(b"/"):
            raise BadRequest(error_reply(400, "bad_request", "the request's target is not a path"))
        path = event.target.partition(b"?")[0].decode("latin-1")
        request = Request(method, event.target, path, list(event.headers), self._local)
        length = int(request.header(b"content-length") or 0)
        if length > MAX_BODY:
            raise BadRequest(_too_large(request))
        if not request.header(b"transfer-encoding") and not length:
            # No handler asks for an absent body, so take its end, which h11 has ready, here.
            self._http.next_event()
            self._body_ended.set()
        return request

    async def _handle(self, exchange: HttpExchange) -> None:
        """Run the handler, and end the answer that it began."""
        try:
            await self._handler(exchange)
            if not self.aborted:
                await self._end(exchange)
        except ClientGone:
            exchange.client_gone = True
        except Exception:
            logger.exception("%s %s failed", exchange.request.method, exchange.request.path)
            self.aborted = True
            if exchange.status is None:
                self.aborted = False
                await self._fail(exchange)

    async def _end(self, exchange: HttpExchange) -> None:
        if exchange.status is None:
            raise RuntimeError("a handler gave no answer")
        await self._send(self._http.send(h11.EndOfMessage()) or b"")

    async def _fail(self, exchange: HttpExchange) -> None:
        try:
            reason = "the gateway failed; its log says how"
            await exchange.reply(error_reply(500, "internal_error", reason, shape=exchange.request.shape))
            await self._end(exchange)
        except ClientGone:
            exchange.client_gone = True

    async def _watch(self, exchange: HttpExchange, scope: trio.CancelScope) -> None:
        """Once the request is complete, notice that the client hangs up.

        Keep an early next request for later: some clients send it in the moment in which the answer reaches
        them. The rest of a large one stays with its sender; a hang-up then shows when the answer is sent.
        """
        await self._body_ended.wait()
        try:
            while data := await self._receive():
                self._http.receive_data(data)
                if len(self._http.trailing_data[0]) > MAX_HEAD:
                    return
        except trio.BrokenResourceError:
            pass
        exchange.client_gone = True
        scope.cancel()

    async def receive_body(self) -> bytes:
        """Return the next piece of the body, empty at its end."""
        if self._body_ended.is_set():
            return b""
        if self._http.they_are_waiting_for_100_continue:
            await self._send(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        try:
            event = await self._next_event()
            while event is h11.NEED_DATA:
                data = b""
                with self._idle(BODY_LIMIT):
                    data = await self._receive()
                if not data:
                    raise ClientGone
                self._http.receive_data(data)
                event = await self._next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(error_reply(400, "bad_request", str(error)[:MESSAGE_LIMIT])) from error
        except trio.BrokenResourceError as error:
            raise ClientGone from error
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = self._http.next_event()
        if isinstance(event, h11.Data):
            # h11 parses a flood of small chunks without waiting for the socket: let other tasks run.
            await trio.lowlevel.checkpoint()
        elif isinstance(event, h11.EndOfMessage):
            self._body_ended.set()
        return event

    async def send_head(self, status: int, headers: Headers, content: bytes = b"") -> None:
        """Send the head of the answer and, in the same packet, `content`, the first part of its body."""
        if self._http.their_state is not h11.DONE:
            # The request was not read to its end: its rest would look like the next request.
            headers = [*headers, (b"connection", b"close")]
        self._bodiless = self._bodiless or status in (204, 304)
        head = self._http.send(h11.Response(status_code=status, headers=headers)) or b""
        await self._send(head + self._frame(content))

    async def send_data(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        await self._send(self._frame(data))

    def _frame(self, data: bytes) -> bytes:
        if not data or self._bodiless:
            return b""
        return self._http.send(h11.Data(data=data)) or b""

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        try:
            with trio.fail_after(SEND_LIMIT):
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            raise ClientGone from error

    async def _receive(self) -> bytes:
        return bytes(await self._stream.receive_some(_CHUNK))

    async def _linger(self) -> None:
        """Let the client read the last answer: closing on unread data would reset it away."""
        with self._idle(LINGER_LIMIT):
            await self._stream.send_eof()
            while await self._receive():
                pass


def _too_large(request: Request) -> Reply:
    reason = f"a request may have {MAX_BODY >> 20} MiB at most"
    return error_reply(413, "request_too_large", reason, shape=request.shape)

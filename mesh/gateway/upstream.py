"""The gateway's end of a stream to the leader's llama-server: one HTTP/1.1 exchange by h11.

httpcore would be the ready-made client. On trio it leaves async generators unclosed when it is cancelled
between two chunks, which here happens every day.
"""

import math
from types import TracebackType
from typing import Final, NamedTuple

import h11
import trio

from mesh.gateway.replies import Headers
from mesh.wire.errors import MeshError

WRITE_LIMIT: Final = 60.0
"""Seconds for the leader to take a piece of the request."""
READ_LIMIT: Final = 3600.0
"""Seconds without a byte of the answer; llama-server's own limit, for a whole answer may take long."""
CUT_SHORT_LIMIT: Final = 5.0
"""The same, once the leader has refused the rest of the request: it has answered, or it never will."""
SILENCE: Final = 1.0
"""Seconds without a byte after which a leader counts as lost, if another is said to lead."""
_CHUNK: Final = 64 << 10


class UpstreamLost(MeshError):
    """The leader's llama-server, or the way to it, failed in the middle of an exchange."""


class NotServing(UpstreamLost):
    """The leader takes no request at present: this one reached no llama-server. Seconds until another try."""

    def __init__(self, message: str, retry_after: float = 0.1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


NOT_SERVING: Final = b"x-mesh-not-serving"
"""A header that says so: a leader notices its llama-server's end before the pool does."""
ENGINE_DIED: Final = b"x-mesh-engine-died"
"""A header that says that llama-server died during the request, and its machine lives."""


class Head(NamedTuple):
    """Status and headers (names in lower case) of an answer."""

    status: int
    headers: Headers


class Upstream:
    """An exchange over a stream of its own. The end of the ``async with`` closes the stream forcefully.

    Forcefully: nothing may wait for a leader that is stuck, and closing early is what makes llama-server
    stop. It stops at once in a stream. For a whole answer it stops within a second, but only while no other
    slot has results, for each of these restarts that second.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._read_limit = READ_LIMIT
        self._waiting = trio.CancelScope()
        self._doubt = ""

    async def __aenter__(self) -> "Upstream":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the stream forcefully. A second call does nothing."""
        await trio.aclose_forcefully(self._stream)

    def doubt(self, reason: str) -> None:
        """Doubt the leader from now on, for this reason, or no more if it is empty.

        When a doubted leader sends nothing for a second, it counts as lost.

        At once would be too soon: a member that was cut off and comes back may lead for a moment.
        """
        if reason != self._doubt:
            self._doubt = reason
            self._waiting.deadline = self._patience()

    def _patience(self) -> float:
        return trio.current_time() + SILENCE if self._doubt else math.inf

    def next_exchange(self) -> bool:
        """Begin another exchange after a whole one and return True, if the leader keeps the connection."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def send_head(self, method: str, target: bytes, headers: Headers) -> None:
        """Send the request's head; without a length the body goes out chunked. Raises `UpstreamLost`."""
        await self._send(h11.Request(method=method, target=target, headers=headers))

    async def send_body(self, data: bytes) -> None:
        """Send a piece of the body. Raises `UpstreamLost`."""
        await self._send(h11.Data(data=data))

    async def end_request(self) -> None:
        """Say that the request is whole. Raises `UpstreamLost`."""
        await self._send(h11.EndOfMessage())

    async def send_request(self, method: str, target: bytes, headers: Headers, body: bytes) -> None:
        """Send a whole request, in one go. Raises `UpstreamLost`."""
        events = [h11.Request(method=method, target=target, headers=headers), h11.EndOfMessage()]
        if body:
            events.insert(1, h11.Data(data=body))
        await self._send(*events)

    async def receive_head(self) -> Head:
        """Wait for the answer's head. Raises `UpstreamLost`."""
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        if not isinstance(event, h11.Response):
            raise UpstreamLost("the leader ended the connection without an answer")
        return Head(event.status_code, list(event.headers))

    async def receive(self) -> bytes:
        """Return the next piece of the answer, empty at its proper end. Raises `UpstreamLost` before that."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                with trio.fail_after(self._read_limit):
                    data = await self._receive()
                if not data and self._http.their_state is h11.SEND_RESPONSE:
                    raise UpstreamLost("the leader ended the connection without an answer")
                self._http.receive_data(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise UpstreamLost("the connection to the leader was lost") from error
        except trio.TooSlowError as error:
            raise UpstreamLost("the leader sends nothing any more") from error
        except h11.RemoteProtocolError as error:
            raise UpstreamLost(f"the leader's answer broke off: {error}") from error
        return event

    async def _receive(self) -> bytes:
        with trio.CancelScope(deadline=self._patience()) as self._waiting:
            return bytes(await self._stream.receive_some(_CHUNK))
        raise UpstreamLost(self._doubt)

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        self._read_limit = CUT_SHORT_LIMIT
        try:
            with trio.fail_after(WRITE_LIMIT):
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise UpstreamLost("the connection to the leader was lost") from error
        except trio.TooSlowError as error:
            raise UpstreamLost("the leader takes no request") from error
        self._read_limit = READ_LIMIT

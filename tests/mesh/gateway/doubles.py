"""A node and a leader that are played, and a client that speaks HTTP by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import h11
import trio
import trio.testing

from leader.door.orders import Refused
from mesh.gateway.backend import AskingRefused, Serving
from mesh.net.stream_kinds import StreamKind

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pool": {"id": "p", "name": "pool"},
    "self": {"id": "a", "name": "anna", "address": "10.0.0.1:50052", "paused": False},
    "engine": {"state": "ready", "progress": 1.0, "reason": ""},
    "leader": {"id": "b", "name": "bert", "term": 3},
    "members": [],
    "deployment": {
        "model": "m",
        "sha256": "0",
        "state": "ready",
        "progress": 1.0,
        "reason": "",
        "context": 4096,
        "slots": 1,
    },
    "plan": None,
    "api": "http://127.0.0.1:50080/v1",
}


class Call:
    """The leader's side of one exchange."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.http = h11.Connection(h11.SERVER)

    async def request(self) -> tuple[h11.Request, bytes]:
        """Read the whole request."""
        head: h11.Request | None = None
        body = b""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(bytes(await self.stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return head, body
            else:
                raise AssertionError(f"no whole request came, but {event!r}")

    async def send(self, raw: bytes) -> None:
        await self.stream.send_all(raw)

    async def hang_up(self) -> None:
        await trio.aclose_forcefully(self.stream)

    async def hung_up(self) -> None:
        """Wait until the gateway closes its end."""
        try:
            while await self.stream.receive_some(65536):
                pass
        except trio.BrokenResourceError:
            pass


Script = Callable[[Call], Awaitable[None]]


@dataclass
class ScriptedBackend:
    """A backend whose leader follows a script."""

    nursery: trio.Nursery
    script: Script
    state: dict[str, Any] = field(default_factory=lambda: dict(STATUS))
    error: Exception | None = None
    # A piece is sent when the other side takes it: nothing is ever on its way.
    streams: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = trio.testing.lockstep_stream_pair

    def __post_init__(self) -> None:
        self.tell, self._news = trio.open_memory_channel[dict[str, Any]](100)

    def refused(self) -> Refused | None:
        return self.error.refused if isinstance(self.error, AskingRefused) else None

    def serving(self) -> Serving | None:
        if self.state["leader"] is None or self.state["deployment"] is None:
            return None
        return Serving(self.state["leader"]["id"], self.state["deployment"]["sha256"])

    async def open_leader(self, kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        if self.error is not None:
            raise self.error
        ours, theirs = self.streams()
        self.nursery.start_soon(self._lead, theirs)
        return ours

    async def _lead(self, stream: trio.abc.Stream) -> None:
        try:
            await self.script(Call(stream))
        finally:
            await trio.aclose_forcefully(stream)

    def status(self) -> Mapping[str, Any]:
        return self.state

    async def changes(self) -> AsyncIterator[None]:
        async for status in self._news:
            self.state = status
            yield


class Client:
    """A connection to the gateway."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.http = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> None:
        """Send a whole request."""
        named = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body:
            named["content-length"] = str(len(body))
        raw = self.http.send(h11.Request(method=method, target=target, headers=list(named.items()))) or b""
        raw += self.http.send(h11.Data(data=body)) or b"" if body else b""
        await self.stream.send_all(raw + (self.http.send(h11.EndOfMessage()) or b""))

    async def head(self) -> h11.Response:
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        assert isinstance(event, h11.Response), event
        return event

    async def piece(self) -> bytes:
        """Return a piece of the answer's body; empty at its proper end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def rest(self) -> bytes:
        body = b""
        while piece := await self.piece():
            body += piece
        return body

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read a whole answer: status, headers, body."""
        head = await self.head()
        headers = {name.decode(): value.decode() for name, value in head.headers}
        body = await self.rest()
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
        return head.status_code, headers, body

    async def _event(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(bytes(await self.stream.receive_some(65536)))
        return event


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def sse(*events: str) -> bytes:
    """The answer of a llama-server that streams these events, without the end."""
    return SSE_HEAD + b"".join(chunk(f"data: {event}\n\n".encode()) for event in events)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"

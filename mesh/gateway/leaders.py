"""Connections to the leader, and waiting while no member leads."""

from types import TracebackType
from typing import Final

import trio

from mesh.gateway.backend import GatewayBackend, NothingServed, NotReady, Serving
from mesh.gateway.feed import Feed
from mesh.gateway.replies import Headers
from mesh.gateway.sse import EventSplitter
from mesh.gateway.upstream import ENGINE_DIED, NOT_SERVING, Head, NotServing, Upstream, UpstreamLost
from mesh.net.stream_kinds import StreamKind
from mesh.wire.errors import MeshError

MAX_WAITING: Final = 128
"""Requests that wait for a leader at a time; the gateway refuses more with a Retry-After."""
OPEN_LIMIT: Final = 10.0
"""Seconds for a stream to the leader to open."""
RETRY: Final = 0.1
"""Seconds until the next look for the leader, if no change is heard of."""
_WHOLE_LIMIT: Final = 64 << 20
"""Bytes of an answer that is read whole."""


class RequestRefused(MeshError):
    """llama-server, or the leader's door before it, refused a request."""


class UpstreamAttempt:
    """One leader's part of an answer: a connection to it, for one exchange."""

    def __init__(self, leaders: "Leaders", upstream: Upstream, serving: Serving | None) -> None:
        self._leaders = leaders
        self._splitter = EventSplitter()
        self.upstream = upstream
        self.serving = serving

    async def __aenter__(self) -> "UpstreamAttempt":
        self._leaders.attempts.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaders.attempts.discard(self)
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. A second call does nothing."""
        await self.upstream.aclose()

    async def send(self, method: str, target: bytes, headers: Headers, content: bytes) -> Head:
        """Send a request and return the answer's head. Raises `UpstreamLost`, including `NotServing`."""
        upstream = self.upstream
        await upstream.send_head(method, target, [*headers, (b"content-length", b"%d" % len(content))])
        try:
            await upstream.send_body(content)
            await upstream.end_request()
        except UpstreamLost:
            pass  # A leader that cuts the request short may have answered: look.
        head = await upstream.receive_head()
        names = {name for name, _ in head.headers}
        if NOT_SERVING in names:
            raise NotServing("the leader's llama-server is not ready")
        if ENGINE_DIED in names:
            raise UpstreamLost("the leader's llama-server died")
        return head

    async def events(self) -> list[bytes]:
        """Return the next events of the answer, empty at its end. Raises `UpstreamLost` before that."""
        while data := await self.upstream.receive():
            try:
                events = self._splitter.feed(data)
            except ValueError as error:
                raise UpstreamLost("the leader's answer makes no sense") from error
            if events:
                return events
        return []

    async def rest(self) -> bytes:
        """Read what is left of an answer. Raises `UpstreamLost`."""
        content = bytearray()
        while piece := await self.upstream.receive():
            content += piece
            if len(content) > _WHOLE_LIMIT:
                raise UpstreamLost("the leader's answer is too large")
        return bytes(content)


class Leaders:
    """Opens attempts with the present leader, and ends those with a former one."""

    def __init__(self, backend: GatewayBackend, feed: Feed) -> None:
        self._backend = backend
        self._feed = feed
        self._waiting = 0
        self.attempts: set[UpstreamAttempt] = set()
        feed.on_change = self._doubt_former_leaders

    def _doubt_former_leaders(self) -> None:
        """Doubt attempts with a former leader: a machine that hangs resets no stream."""
        serving = self._backend.serving()
        for attempt in self.attempts:
            if serving is not None and attempt.serving is not None:
                other = serving.leader != attempt.serving.leader
                attempt.upstream.doubt("another machine leads now" if other else "")

    async def reach(
        self, seconds: float, kind: StreamKind = StreamKind.API, *, begun: bool = False
    ) -> UpstreamAttempt:
        """Open an attempt with the leader, waiting up to `seconds` for one that is ready.

        ``begun``: an answer has begun and waits for its rest. Raises `NotReady` and `UpstreamLost`.
        """
        deadline = trio.current_time() + seconds
        try:
            return UpstreamAttempt(self, *await self._open(kind))
        except MeshError as error:
            self._check(error, deadline, begun)
            if self._waiting >= MAX_WAITING:
                raise NotReady(f"{MAX_WAITING} requests are waiting for a leader", 5.0) from error
        self._waiting += 1
        try:
            while True:
                await self._feed.changed(RETRY)
                try:
                    return UpstreamAttempt(self, *await self._open(kind))
                except MeshError as error:
                    self._check(error, deadline, begun)
        finally:
            self._waiting -= 1

    def _check(self, error: MeshError, deadline: float, begun: bool) -> None:
        lasting = isinstance(error, NotReady) and error.lasting
        hopeless = lasting and (not begun or isinstance(error, NothingServed))
        if hopeless or trio.current_time() >= deadline:
            raise error

    async def _open(self, kind: StreamKind) -> tuple[Upstream, Serving | None]:
        """Open a connection to the leader that is ready now. Raises `NotReady` and `UpstreamLost`."""
        serving = self._backend.serving()
        try:
            with trio.fail_after(OPEN_LIMIT):
                upstream = Upstream(await self._backend.open_leader(kind))
        except trio.TooSlowError as error:
            raise UpstreamLost("the leader does not answer") from error
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise UpstreamLost("the leader cannot be reached") from error
        if self._backend.serving() != serving:
            await upstream.aclose()
            raise UpstreamLost("another machine leads now")
        return upstream, serving

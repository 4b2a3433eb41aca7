"""The gate before rpc-server: it passes the streams of the lease holder, and nobody else's.

rpc-server serves one client at a time and lets a second one wait, silently, until the first closes: a stale
leader's open socket would starve its successor. So the gate cuts the streams of an old claim before it lets
in those of a newer one, and lets the streams of one holder in one after the other. (llama-server has one
connection open per worker; while it looks at its devices it opens and closes some in turn.)
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import trio

_log = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_MOST_SESSIONS = 16
_CONNECT_SECONDS = 5.0
_MESSAGE_SECONDS = 5.0


class Holder(Protocol):
    """The claim that a worker's lease was granted to."""

    @property
    def author(self) -> bytes:
        """The leader's node id."""

    @property
    def term(self) -> int:
        """The claim's term."""


class Session(Protocol):
    """An authenticated stream of a member."""

    @property
    def peer(self) -> bytes | None:
        """The proven node id."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What it asked for: ``{"term": int}``."""

    @property
    def stream(self) -> trio.abc.Stream:
        """Its bytes."""

    async def send_message(self, message: Any, /) -> None:
        """Send one framed message."""


class Server(Protocol):
    """What the gate stands before."""

    async def free_up(self) -> None:
        """Return when no earlier client is served any more."""

    async def connect(self) -> trio.SocketStream:
        """A new client's connection; OSError while it is not ready."""


@dataclass(slots=True)
class Counters:
    """Since the gate was made; bytes as seen from the worker."""

    passed: int = 0
    refused: int = 0
    cut: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Gate:
    """Hands each stream of the lease holder to rpc-server, in order; cuts it when the lease goes elsewhere.

    The first thing a peer reads is one framed message: ``{"ok": true}``, after which the bytes are
    rpc-server's own, or ``{"ok": false, "reason": text}`` and the end of the stream.
    """

    def __init__(self, server: Server) -> None:
        self.counters = Counters()
        self._server = server
        self._holder: tuple[bytes, int] | None = None
        self._open: dict[trio.CancelScope, tuple[bytes, int]] = {}
        self._turn = trio.StrictFIFOLock()

    def set_holder(self, claim: Holder | None) -> None:
        """From now on ``claim`` alone passes; streams of any other are cut at once, their buffers freed."""
        self._holder = None if claim is None else (claim.author, claim.term)
        for scope, key in self._open.items():
            if key != self._holder and not scope.cancel_called:
                scope.cancel()
                self.counters.cut += 1

    async def handle(self, session: Session) -> None:
        """Serve one stream to its end, which is: either side's, or a cut. Leaves it closed."""
        key = (session.peer or b"", _term(session.arguments))
        reason = self._refusal(key)
        try:
            if reason is not None:
                await self._refuse(session, reason)
                return
            with trio.CancelScope() as scope:
                self._open[scope] = key
                try:
                    async with self._turn:
                        await self._pass(session)
                finally:
                    del self._open[scope]
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _log.debug("a tunnel's stream broke: %r", error)
        finally:
            # No farewell: a peer that does not read must not hold up the next one.
            await trio.aclose_forcefully(session.stream)

    def _refusal(self, key: tuple[bytes, int]) -> str | None:
        if self._holder is None:
            return "this worker is leased to nobody"
        if key != self._holder:
            return f"this worker is leased to another claim, of term {self._holder[1]}"
        if len(self._open) >= _MOST_SESSIONS:
            return f"{_MOST_SESSIONS} streams of this claim wait already"
        return None

    async def _refuse(self, session: Session, reason: str) -> None:
        self.counters.refused += 1
        with trio.move_on_after(_MESSAGE_SECONDS):
            await session.send_message({"ok": False, "reason": reason})
            await session.stream.aclose()

    async def _pass(self, session: Session) -> None:
        await self._server.free_up()
        local: trio.SocketStream | None = None
        with trio.move_on_after(_CONNECT_SECONDS):
            try:
                local = await self._server.connect()
            except OSError as error:
                _log.debug("rpc-server does not take a connection: %s", error)
        if local is None:
            await self._refuse(session, "the worker's rpc-server is not ready")
            return
        try:
            await session.send_message({"ok": True})
            self.counters.passed += 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._inward, session.stream, local, nursery.cancel_scope)
                nursery.start_soon(self._outward, local, session.stream, nursery.cancel_scope)
        finally:
            await trio.aclose_forcefully(local)

    async def _inward(
        self, source: trio.abc.Stream, local: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(_CHUNK):
                self.counters.bytes_in += len(data)
                await local.send_all(data)
            await local.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            both.cancel()

    async def _outward(self, local: trio.SocketStream, sink: trio.abc.Stream, both: trio.CancelScope) -> None:
        try:
            while data := await local.receive_some(_CHUNK):
                self.counters.bytes_out += len(data)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        # rpc-server closes both directions or none: its end is the stream's.
        both.cancel()


def _term(arguments: Mapping[str, Any]) -> int:
    term = arguments.get("term")
    return term if isinstance(term, int) else -1

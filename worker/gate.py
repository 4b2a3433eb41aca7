"""The gate before rpc-server: it passes the streams of the lease holder, and nobody else's.

rpc-server serves one client at a time and lets a second one wait, silently, until the first closes: a stale
leader's open socket would starve its successor. So the gate cuts the streams of an old claim before it lets
in those of a newer one, and lets the streams of one holder in one after the other. (llama-server has one
connection open per worker; while it looks at its devices it opens and closes some in turn.)
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import trio

from mesh.net.bridge import Bridge, Ending
from mesh.net.link import Bare, Trusts, let_in, never
from mesh.net.session import StreamError
from mesh.net.stream_ends import Plain
from mesh.wire.errors import DecodeError
from worker.greeting import blank_reply, blank_request

_log = logging.getLogger(__name__)

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


class GateSession(Bare, Protocol):
    """An authenticated stream of a member, which asked with ``{"term": int}``."""

    @property
    def peer(self) -> bytes | None:
        """The proven node id."""

    async def aclose(self) -> None:
        """Close it; returns within a second."""


class GateServer(Protocol):
    """What the gate stands before."""

    async def free_up(self) -> None:
        """Return when no earlier client is served any more."""

    async def connect(self) -> trio.SocketStream:
        """A new client's connection; OSError while it is not ready."""


@dataclass(slots=True)
class GateCounters:
    """Since the gate was made; bytes as seen from the worker. ``malformed`` counts streams that did not begin
    as rpc-server's protocol does.
    """

    passed: int = 0
    refused: int = 0
    cut: int = 0
    malformed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True, eq=False)
class _Stream:
    """One that waits for its turn or passes."""

    key: tuple[bytes, int]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    bridge: Bridge | None = None

    def cut(self) -> None:
        if self.bridge is not None:
            self.bridge.cut()
        self.scope.cancel()


class Gate:
    """Hands each stream of the lease holder to rpc-server, in order; cuts it when the lease goes elsewhere.

    The first thing a peer reads is one framed message: ``{"ok": true}``, perhaps with what `mesh.net.link`
    adds, after which the bytes are rpc-server's own; or ``{"ok": false, "reason": text}`` and the end of the
    stream.
    """

    def __init__(self, server: GateServer, trusts: Trusts = never) -> None:
        self._counters = GateCounters()
        self._server = server
        self._trusts = trusts
        self._holder: bytes | None = None
        self._terms = range(0)
        """Under which of its terms the holder's streams pass."""
        self._open: set[_Stream] = set()
        self._passing: Bridge | None = None
        self._turn = trio.StrictFIFOLock()

    @property
    def counters(self) -> GateCounters:
        """As of now, the stream that passes included."""
        counted, bridge = self._counters, self._passing
        if bridge is None:
            return counted
        return GateCounters(
            counted.passed,
            counted.refused,
            counted.cut,
            counted.malformed,
            counted.bytes_in + bridge.inward.moved,
            counted.bytes_out + bridge.outward.moved,
        )

    def set_holder(self, claim: Holder | None) -> None:
        """From now on ``claim`` alone passes; streams of any other are cut before this returns.

        A holder that follows itself by a higher claim keeps the streams that it has.
        """
        holder = None if claim is None else claim.author
        if claim is None or holder != self._holder:
            self._terms = range(0) if claim is None else range(claim.term, claim.term + 1)
        else:
            self._terms = range(self._terms.start, claim.term + 1)
        self._holder = holder
        self._cut_others()

    def _cut_others(self) -> None:
        for stream in self._open:
            if not self._admits(stream.key) and not stream.scope.cancel_called:
                stream.cut()
                self._counters.cut += 1

    def _admits(self, key: tuple[bytes, int]) -> bool:
        return key[0] == self._holder and key[1] in self._terms

    async def handle(self, session: GateSession) -> None:
        """Serve one stream to its end, which is: either side's, or a cut. Leaves it closed."""
        key = (session.peer or b"", _term(session.arguments))
        reason = self._refusal(key)
        try:
            if reason is not None:
                await self._refuse(session, reason)
                return
            # Whoever begins anew under a later term is done with what it began before.
            self._terms = range(key[1], self._terms.stop)
            self._cut_others()
            stream = _Stream(key)
            with stream.scope:
                self._open.add(stream)
                try:
                    async with self._turn:
                        await self._pass(session, stream)
                finally:
                    self._open.discard(stream)
        except (StreamError, DecodeError) as error:
            _log.debug("a tunnel's stream broke: %s", error)
        finally:
            await session.aclose()

    def _refusal(self, key: tuple[bytes, int]) -> str | None:
        if self._holder is None:
            return "this worker is leased to nobody"
        if not self._admits(key):
            return f"this worker is leased to another claim, of term {self._terms[-1]}"
        if len(self._open) >= _MOST_SESSIONS:
            return f"{_MOST_SESSIONS} streams of this claim wait already"
        return None

    async def _refuse(self, session: GateSession, reason: str) -> None:
        self._counters.refused += 1
        with trio.move_on_after(_MESSAGE_SECONDS):
            await session.send_message({"ok": False, "reason": reason})

    async def _pass(self, session: GateSession, stream: _Stream) -> None:
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
            leader = await let_in(session, self._trusts)
        except BaseException:
            await trio.aclose_forcefully(local)
            raise
        ended = partial(self._ended, stream)
        bridge = Bridge(Plain.take(local), leader, ended, asks=blank_request, answers=blank_reply)
        self._counters.passed += 1
        self._passing = stream.bridge = bridge
        whose = f"{stream.key[0].hex()[:8]} in term {stream.key[1]}"
        _log.info("lets %s in", whose)
        try:
            await bridge.run()
        finally:
            _log.info("%s is out", whose)
            self._passing = None
            self._counters.bytes_in += bridge.inward.moved
            self._counters.bytes_out += bridge.outward.moved

    def _ended(self, stream: _Stream, ending: Ending) -> None:
        if ending is Ending.MALFORMED:
            self._counters.malformed += 1
        elif ending is Ending.NEAR_ENDED:
            # rpc-server closes both directions or none: its end is the stream's.
            stream.scope.cancel()
        _log.debug("a tunnel ended: %s", ending.value)


def _term(arguments: Any) -> int:
    term = arguments.get("term")
    return term if isinstance(term, int) else -1

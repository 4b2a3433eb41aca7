"""The gate before a machine's rpc-servers: it passes the streams of the lease holder, and no others.

rpc-server serves one client at a time and lets a second one wait, silently, until the first closes: a stale
leader's open socket would starve its successor. So the gate cuts an old claim's streams before it admits
those of a newer one, and passes one holder's streams to each rpc-server one after the other. (llama-server
keeps one connection open per rpc-server; while it looks at its devices, it opens and closes some in turn.)
The lease is the machine's, so one fence stands before all of them: `worker.fence` decides which streams pass
and which are cut.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import trio

from mesh.net.bridge import Bridge, Ending
from mesh.net.link import Bare, Trusts, accept_leader, never
from mesh.net.session import StreamError
from mesh.net.stream_ends import Plain
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.profile import MAX_DEVICES
from worker.fence import Fence, Holder
from worker.greeting import blank_reply, blank_request

_log = logging.getLogger(__name__)

_MOST_SESSIONS = 16 * MAX_DEVICES
_FREE_SECONDS = 30.0
"""For the server's earlier client to go, which may take a restart of the server."""
_CONNECT_SECONDS = 5.0
_MESSAGE_SECONDS = 5.0


class GateSession(Bare, Protocol):
    """An authenticated stream that a member opened with the arguments ``{"term": int, "devices": [str]}``.

    It is to reach the rpc-server of just these devices; without any, that of the machine's first one.
    """

    @property
    def peer(self) -> bytes | None:
        """The node id that the peer has proved."""

    async def aclose(self) -> None:
        """Close it; returns within a second."""


class GateServer(Protocol):
    """One of the servers that the gate protects."""

    turn: trio.StrictFIFOLock
    """Held by the stream that passes."""

    async def free_up(self) -> None:
        """Return when it serves no earlier client any more."""

    async def connect(self) -> trio.SocketStream:
        """A new client's connection; raises OSError while the server is not ready."""


class GateServers(Protocol):
    """All of them."""

    def server(self, devices: Sequence[str], /) -> GateServer:
        """The one that serves these devices, if it must be by ending others. Raises MeshError, in words."""


@dataclass(slots=True)
class GateCounters:
    """Counts since the gate was made; bytes as the worker sees them.

    ``malformed`` counts streams that did not begin as rpc-server's protocol does.
    """

    passed: int = 0
    refused: int = 0
    cut: int = 0
    malformed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True, eq=False)
class _Stream:
    """A stream that waits for its turn, or passes."""

    author: bytes
    term: int
    devices: tuple[str, ...] | None
    """None where the request names none as it should."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    bridge: Bridge | None = None

    def cut(self) -> None:
        if self.bridge is not None:
            self.bridge.cut()
        self.scope.cancel()


class Gate:
    """Hands each stream of the lease holder to an rpc-server; cuts it when the lease goes elsewhere.

    A peer first reads one framed message. ``{"ok": true}``, perhaps with what `mesh.net.link` adds, says that
    the following bytes are rpc-server's own. ``{"ok": false, "reason": text}`` says that the stream ends.
    """

    def __init__(self, servers: GateServers, trusts: Trusts = never) -> None:
        self._counters = GateCounters()
        self._servers = servers
        self._trusts = trusts
        self._fence: Fence[_Stream] = Fence()
        self._open = 0
        """How many streams wait or pass, including those that are cut and not yet closed."""
        self._passing: set[Bridge] = set()

    @property
    def counters(self) -> GateCounters:
        """The counts now, including the streams that pass."""
        counted = self._counters
        return replace(
            counted,
            bytes_in=counted.bytes_in + sum(bridge.inward.moved for bridge in self._passing),
            bytes_out=counted.bytes_out + sum(bridge.outward.moved for bridge in self._passing),
        )

    def set_holder(self, claim: Holder | None) -> None:
        """From now on ``claim`` alone passes; streams of all others are cut before this returns.

        A holder that reclaims, with a higher term, keeps its streams.
        """
        self._cut(self._fence.set_holder(claim))

    def _cut(self, streams: list[_Stream]) -> None:
        for stream in streams:
            if not stream.scope.cancel_called:  # rpc-server may have ended it already
                stream.cut()
                self._counters.cut += 1

    async def handle(self, session: GateSession) -> None:
        """Serve one stream until either side ends it or it is cut. Leaves it closed."""
        arguments = session.arguments
        stream = _Stream(session.peer or b"", _term(arguments), named_devices(arguments))
        try:
            if (reason := self._refusal(stream)) is not None:
                await self._refuse(session, reason)
                return
            self._cut(self._fence.admit(stream, stream.author, stream.term))
            self._open += 1
            with stream.scope:
                try:
                    await self._wait_and_pass(session, stream)
                finally:
                    self._open -= 1
                    self._fence.remove(stream)
        except (StreamError, DecodeError) as error:
            _log.debug("a tunnel's stream broke: %s", error)
        finally:
            await session.aclose()

    def _refusal(self, stream: _Stream) -> str | None:
        reason = self._fence.refusal(stream.author, stream.term)
        if reason is None and self._open >= _MOST_SESSIONS:
            reason = f"{_MOST_SESSIONS} streams of this claim wait already"
        if reason is None and stream.devices is None:
            reason = "the request names devices in a way that this worker does not read"
        return reason

    async def _refuse(self, session: GateSession, reason: str) -> None:
        self._counters.refused += 1
        with trio.move_on_after(_MESSAGE_SECONDS):
            await session.send_message({"ok": False, "reason": reason})

    async def _wait_and_pass(self, session: GateSession, stream: _Stream) -> None:
        try:
            server = self._servers.server(stream.devices or ())
        except MeshError as error:
            await self._refuse(session, error.message)
            return
        async with server.turn:
            await self._pass(session, stream, server)

    async def _pass(self, session: GateSession, stream: _Stream, server: GateServer) -> None:
        with trio.move_on_after(_FREE_SECONDS):
            await server.free_up()
        local: trio.SocketStream | None = None
        with trio.move_on_after(_CONNECT_SECONDS):
            try:
                local = await server.connect()
            except OSError as error:
                _log.debug("rpc-server does not take a connection: %s", error)
        if local is None:
            await self._refuse(session, "the worker's rpc-server is not ready")
            return
        try:
            leader = await accept_leader(session, self._trusts)
        except BaseException:
            await trio.aclose_forcefully(local)
            raise
        ended = partial(self._ended, stream)
        bridge = Bridge(Plain.take(local), leader, ended, asks=blank_request, answers=blank_reply)
        self._counters.passed += 1
        stream.bridge = bridge
        self._passing.add(bridge)
        whose = f"{stream.author.hex()[:8]} in term {stream.term}"
        whose += f" to {', '.join(stream.devices)}" if stream.devices else ""
        _log.info("the stream of %s passes", whose)
        try:
            await bridge.run()
        finally:
            _log.info("the stream of %s ended", whose)
            self._passing.remove(bridge)
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


def named_devices(arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The devices that a stream's arguments name, perhaps none; None where they are no such list."""
    named = arguments.get("devices", [])
    if isinstance(named, list) and len(named) <= MAX_DEVICES and all(isinstance(one, str) for one in named):
        return tuple(named)
    return None

"""Streams between nodes: one TCP port, mutual TLS, and a preface that says what a stream is for.

The client opens TLS and sends the preface, one message: its wire versions and build, the pool, the stream's
kind and arguments. The server accepts it, or refuses it with a reason, and says its own versions and build;
from then on the stream belongs to the handler of its kind. Members prove their identity; a node that is no
member yet may use the open kinds alone. No byte of a handler's payload passes before both are settled.
"""

import enum
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from mesh.net.callers import Callers
from mesh.net.connecting import connect_first
from mesh.net.session import (
    MESSAGE_LIMIT,
    NobodyListens,
    Session,
    StreamClosed,
    StreamError,
    StreamRefused,
    StreamReset,
    TlsStream,
    Unreachable,
    ends,
    receive_message,
    send_message,
    tune,
)
from mesh.net.stream_kinds import OPEN_KINDS, StreamKind
from mesh.net.tls import ALPN, ClientContexts, Credentials, ServerTrust, proven_key, unproven_context
from mesh.net.versions_preface import (
    WIRE_VERSION,
    OtherVersion,
    ProgramVersion,
    program_in_answer,
    program_in_preface,
)
from mesh.protocol.base.drop_counters import DropCounters
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import Identity, NodeId, PoolId, id_text, node_id
from mesh.wire.versions import SPOKEN, Versions

log = logging.getLogger(__name__)

SETUP_SECONDS = 5.0
MAX_SESSIONS = 1024
MAX_SESSIONS_OF_A_PEER = 128
MAX_UNPROVEN = 32
MAX_UNPROVEN_OF_A_HOST = 8
UNPROVEN_SECONDS = 600.0
"""Seconds that a stream of a node that is no member may last: a person may have to approve it meanwhile."""

Handler = Callable[[Session], Awaitable[None]]


class ProbeAnswer(enum.Enum):
    """The outcome of a probe over TCP."""

    ALIVE = "alive"
    NOBODY = "nobody"
    """The machine lives, the process does not."""
    SILENCE = "silence"


class Streams:
    """This node's end of every stream: it serves them, and opens them, for the members that it trusts."""

    def __init__(
        self,
        identity: Identity,
        source_hosts: Sequence[str] = (),
        speaks: Versions = SPOKEN,
        build: str = "",
        name: str = "",
    ) -> None:
        """``source_hosts``: the addresses that streams leave from, where a node is bound to some alone.

        ``build`` names this program to the others, in at most 40 bytes, and ``name`` this machine.
        """
        credentials = Credentials(identity)
        self.here = ProgramVersion(speaks, build, name)
        """What this end says of itself on each stream."""
        self.versions: dict[NodeId, ProgramVersion] = {}
        """What each member that is trusted said of its program last, also where a stream was refused. The
        driver drops what is older than the word of a member that is present.
        """
        self.pool: PoolId | None = None
        """The pool that this node belongs to: it refuses streams of another. None: it belongs to none yet.
        The stay in a pool attaches it, and ``is_fenced``.
        """
        self.is_fenced: Callable[[], bool] = lambda: False
        """Whether this node must count as gone: then it answers no probe."""
        self._trust = ServerTrust(credentials)
        self._clients = ClientContexts(credentials)
        self._source_hosts = tuple(source_hosts)
        self._sessions: dict[NodeId | None, set[Session]] = {}
        self._callers = Callers()
        self.drops = DropCounters[str]()
        """How many streams were not accepted, by reason. The codes are those of :class:`StreamRefused`, and
        ``flood`` (too many of one source), ``handshake`` and ``silence``.
        """

    def trust(self, keys: Mapping[NodeId, bytes]) -> None:
        """Trust exactly these members from now on; cut open streams of all others at once."""
        for gone in self._trust.update(keys):
            for session in tuple(self._sessions.get(gone, ())):
                session.cut()
            self.versions.pop(gone, None)

    def _note(self, peer: NodeId | None, key: bytes | None, program: ProgramVersion | None) -> None:
        """Note what the holder of the proven ``key`` says of its program, if it is a member."""
        if peer is not None and program is not None and self._trust.keys.get(peer) == key:
            self.versions[peer] = program

    # The server's side.

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        handlers: Mapping[str, Handler],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept streams until cancelled. A handler runs for each; its errors are logged, and end its stream
        alone.
        """

        async def take(connection: trio.SocketStream) -> None:
            await self._take(connection, handlers)

        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, take, list(listeners))
            task_status.started()

    async def _take(self, connection: trio.SocketStream, handlers: Mapping[str, Handler]) -> None:
        session: Session | None = None
        try:
            host = ends(connection)[1].host
            scope = self._callers.arrive(host, trio.current_time())
            if scope is None:
                self.drops.count("flood", host)
                return
            try:
                scope.deadline = trio.current_time() + SETUP_SECONDS
                with scope:
                    session = await self._accept(connection, handlers)
                if scope.cancelled_caught:
                    self.drops.count("silence", host)
            finally:
                self._callers.depart(scope, session is not None and session.peer is not None)
            if session is not None:
                await self._run(session, handlers)
        except OSError as error:
            log.debug("a connection broke off at once: %s", error)
        finally:
            connection.socket.close()

    async def _accept(self, connection: trio.SocketStream, handlers: Mapping[str, Handler]) -> Session | None:
        stream: TlsStream = trio.SSLStream(connection, self._trust.context(), server_side=True)
        try:
            tune(connection.socket)
            local, remote = ends(connection)
            await _shake_hands_as_server(stream)
            preface = await receive_message(stream, MESSAGE_LIMIT)
            key = proven_key(stream.getpeercert(True))
            peer = None if key is None else node_id(key)
            kind, arguments = self._judge(preface, peer, key, remote, handlers)
            session = Session(stream, peer, key, remote, local, kind, arguments, on_close=self._forget)
            # Noted before the answer goes out: from here on the stream can be cut.
            self._sessions.setdefault(peer, set()).add(session)
            try:
                await send_message(stream, {"ok": True, **self.here.answer()})
            except BaseException:
                self._forget(session)
                raise
        except StreamRefused as refusal:
            self.drops.count(refusal.code, _host_of(connection))
            await self._refuse(stream, refusal)
        except (
            StreamError,
            DecodeError,
            OSError,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
        ) as error:
            self.drops.count("handshake", _host_of(connection))
            log.debug("a stream was not set up: %s", error.__cause__ or error)
        else:
            return session
        return None

    def _judge(
        self,
        preface: Any,
        peer: NodeId | None,
        key: bytes | None,
        remote: Endpoint,
        handlers: Mapping[str, Handler],
    ) -> tuple[str, dict[str, Any]]:
        """(kind, arguments) of an admissible stream; raises :class:`StreamRefused` for any other.

        Notes what a member says of its program.
        """
        theirs = program_in_preface(preface)
        if theirs is None:
            raise StreamRefused("malformed", "the stream's preface is malformed")
        self._note(peer, key, theirs)
        kind, arguments = preface.get("kind"), preface.get("arguments")
        if self.here.speaks.common(theirs.speaks) is None:
            # In the words of the other end, which shows them to its people if it is of an older version.
            raise OtherVersion("that machine", self.here, theirs.speaks, _go_on(preface.get("pool")))
        if not isinstance(kind, str) or not isinstance(arguments, dict):
            raise StreamRefused("malformed", "the stream's preface is malformed")
        # Checked again after the handshake: membership may have changed while it ran.
        if peer is not None and self._trust.keys.get(peer) != key:
            raise StreamRefused("not_member", "this machine is no member of the pool")
        if peer is None and kind not in OPEN_KINDS:
            raise StreamRefused("not_member", "only members may open such a stream", "join the pool first")
        if peer is not None and self.pool is not None and preface.get("pool") != id_text(self.pool):
            raise StreamRefused("other_pool", "that node belongs to another pool")
        if kind == StreamKind.PROBE and self.is_fenced():
            raise StreamRefused("mute", "this node may not say that it is there")
        if kind != StreamKind.PROBE and kind not in handlers:
            raise StreamRefused("unknown_kind", f"this node serves no stream of kind {kind[:32]!r}")
        if self._is_full(peer, remote):
            raise StreamRefused("busy", "that node has too many streams open", "try again in a moment")
        return kind, arguments

    async def _refuse(self, stream: TlsStream, refusal: StreamRefused) -> None:
        error = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
        try:
            await send_message(stream, {"error": error, **self.here.answer()})
            await stream.aclose()
        except (StreamError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a refusal was not heard")

    def _is_full(self, peer: NodeId | None, remote: Endpoint) -> bool:
        mine = self._sessions.get(peer, set())
        if peer is None:
            hosts = Counter(session.remote.host for session in mine)
            return len(mine) >= MAX_UNPROVEN or hosts[remote.host] >= MAX_UNPROVEN_OF_A_HOST
        return len(mine) >= MAX_SESSIONS_OF_A_PEER or sum(map(len, self._sessions.values())) >= MAX_SESSIONS

    async def _run(self, session: Session, handlers: Mapping[str, Handler]) -> None:
        who = session.remote if session.peer is None else id_text(session.peer)
        try:
            if session.peer is None:
                session.scope.deadline = trio.current_time() + UNPROVEN_SECONDS
            with session.scope:
                if session.kind != StreamKind.PROBE:
                    await handlers[session.kind](session)
        except* (StreamError, DecodeError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            log.debug("%s stream of %s ended: %s", session.kind, who, group.exceptions[0])
        except* MeshError as group:
            log.warning("%s stream of %s failed: %s", session.kind, who, group.exceptions[0])
        except* Exception:
            log.exception("%s stream of %s failed", session.kind, who)
        finally:
            await session.aclose()

    def _forget(self, session: Session) -> None:
        sessions = self._sessions.get(session.peer)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._sessions[session.peer]

    # The client's side.

    async def open(
        self,
        peer: NodeId,
        endpoints: Sequence[Endpoint],
        kind: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = SETUP_SECONDS,  # noqa: ASYNC109
    ) -> Session:
        """A stream to the member ``peer`` at whichever of ``endpoints`` answers first; the caller closes it.

        Raises :class:`Unreachable`, :class:`WrongPeer` or :class:`StreamRefused`.
        """
        key = self._trust.keys.get(peer)
        if key is None:
            raise StreamRefused("not_member", f"{id_text(peer)} is no member of this pool")
        stream = await self._open(endpoints, self._clients.to(key), key, kind, arguments, timeout)
        if self._trust.keys.get(peer) != key:
            stream.cut()
            raise StreamRefused("not_member", f"{id_text(peer)} is no member of this pool any more")
        self._sessions.setdefault(peer, set()).add(stream)
        return stream

    async def open_unproven(
        self,
        endpoint: Endpoint,
        kind: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = SETUP_SECONDS,  # noqa: ASYNC109
    ) -> Session:
        """A stream of an open kind to the node that listens at ``endpoint``; this node proves no identity.

        TLS proves the session's ``peer_key``, which is the server's. The caller judges whether it is the
        right one before it sends anything confidential. Errors as :meth:`open`.
        """
        return await self._open([endpoint], unproven_context(), None, kind, arguments, timeout)

    async def probe(
        self,
        peer: NodeId,
        endpoints: Sequence[Endpoint],
        timeout: float = 1.0,  # noqa: ASYNC109
    ) -> ProbeAnswer:
        """Whether ``peer`` answers over TCP, as the member it is."""
        try:
            session = await self.open(peer, endpoints, StreamKind.PROBE, timeout=timeout)
        except NobodyListens:
            return ProbeAnswer.NOBODY
        except StreamError:
            return ProbeAnswer.SILENCE
        await session.aclose()
        return ProbeAnswer.ALIVE

    async def _open(
        self,
        endpoints: Sequence[Endpoint],
        context: ssl.SSLContext,
        expected: bytes | None,
        kind: str,
        arguments: Mapping[str, Any] | None,
        timeout: float,  # noqa: ASYNC109
    ) -> Session:
        where = ", ".join(map(str, endpoints)) or "no known address"
        with trio.move_on_after(timeout):
            stream = await connect_first(endpoints, context, expected, self._source_hosts)
            try:
                local, remote = ends(stream.transport_stream)
                given = dict(arguments or {})
                preface = {
                    **self.here.preface(),
                    "pool": None if self.pool is None else id_text(self.pool),
                    "kind": kind,
                    "arguments": given,
                }
                key = proven_key(stream.getpeercert(True))
                peer = None if key is None else node_id(key)
                self._judge_answer(await _present(stream, preface, remote), peer, key, remote)
            except OSError as error:
                stream.transport_stream.socket.close()
                raise Unreachable(f"{where} broke off: {error}") from error
            except BaseException:
                stream.transport_stream.socket.close()
                raise
            return Session(stream, peer, key, remote, local, kind, given, on_close=self._forget)
        raise Unreachable(f"no answer from {where} within {timeout:g} s")

    def _judge_answer(
        self, answer: Mapping[Any, Any], peer: NodeId | None, key: bytes | None, remote: Endpoint
    ) -> None:
        """Raise :class:`StreamRefused` unless the answer accepts the stream; notes what a member says."""
        theirs = program_in_answer(answer)
        self._note(peer, key, theirs)
        refusal = answer.get("error")
        code, message, hint = _texts(refusal) if isinstance(refusal, dict) else ("", "", "")
        if code == WIRE_VERSION or (theirs and self.here.speaks.common(theirs.speaks) is None):
            where = _called(theirs, remote)
            refused: StreamRefused = OtherVersion(where, theirs, self.here.speaks, _go_on(self.pool))
        elif isinstance(refusal, dict):
            refused = StreamRefused(code, message, hint)
        else:
            return
        refused.peer = peer
        raise refused


def _called(theirs: ProgramVersion | None, remote: Endpoint) -> str:
    """The other end as people read it: its machine's name, where it says one, and its address."""
    return f"{theirs.name} ({remote.host})" if theirs and theirs.name else remote.host


def _texts(refusal: Mapping[Any, Any]) -> tuple[str, str, str]:
    """(code, message, hint) of a refusal, cut where they are too long."""
    code, message, hint = (str(refusal.get(key, ""))[:500] for key in ("code", "message", "hint"))
    return code, message, hint


def _go_on(pool: object) -> str:
    """The command by which a machine goes on after an upgrade: a member of a pool restarts."""
    return "mesh join" if pool is None else "mesh restart"


def _host_of(connection: trio.SocketStream) -> str:
    try:
        return ends(connection)[1].host
    except OSError:
        return "a caller that is gone"


async def _shake_hands_as_server(stream: TlsStream) -> None:
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        # trio leaves the alert of a failed handshake unsent; the other end needs the reason.
        alert = stream._outgoing.read()
        if isinstance(error.__cause__, ssl.SSLError) and alert:
            await stream.transport_stream.send_all(alert)
            await _finish(stream.transport_stream)
        raise
    if stream.selected_alpn_protocol() != ALPN:
        raise StreamReset(f"the client does not speak {ALPN}")


async def _present(stream: TlsStream, preface: dict[str, Any], remote: Endpoint) -> dict[Any, Any]:
    """Send the preface and wait for the server's answer, which accepts it or not."""
    try:
        await send_message(stream, preface)
        answer = await receive_message(stream, MESSAGE_LIMIT)
    except (StreamReset, StreamClosed) as error:
        cause = error.__cause__ and error.__cause__.__cause__
        # With TLS 1.3 a client learns only now that the server did not accept its certificate.
        if isinstance(cause, ssl.SSLError) and "UNKNOWN_CA" in (cause.reason or ""):
            raise StreamRefused("not_member", f"{remote} does not know this machine as a member") from error
        raise Unreachable(f"{remote} broke off before it answered: {error.message}") from error
    except DecodeError as error:
        raise Unreachable(f"what listens at {remote} speaks another protocol") from error
    if not isinstance(answer, dict):
        raise Unreachable(f"what listens at {remote} speaks another protocol")
    return answer


async def _finish(connection: trio.SocketStream) -> None:
    """Close the sending side and read what still comes: else the kernel resets, and the reason is lost."""
    await connection.send_eof()
    for _ in range(64):
        if not await connection.receive_some(4096):
            return

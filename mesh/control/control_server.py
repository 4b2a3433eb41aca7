"""The sidecar's end of the control socket: one request a connection, answered by a handler."""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from mesh.control.argument_types import OTHER_VERSION
from mesh.control.control_errors import AlreadyRunning, ControlError
from mesh.control.paths import is_ours
from mesh.control.socket_peer import user_of
from mesh.wire.errors import MeshError

Emit = Callable[[Mapping[str, Any]], Awaitable[None]]
Handler = Callable[[dict[str, Any], Emit], Awaitable[Mapping[str, Any]]]

LONGEST_REQUEST = 1024 * 1024
FORM = 'such as {"op": "status", "args": {}}'
MOST_CONNECTIONS = 64
REQUEST_LIMIT = 10.0
"""Seconds in which a client must have sent its request."""
SEND_LIMIT = 10.0
"""Seconds in which a client must read one line; a slower client is dropped."""
SIGN_OF_LIFE = 5.0
"""Seconds between the empty lines that show life while a handler works."""

log = logging.getLogger(__name__)


async def serve_control(
    path: str | Path,
    handlers: Mapping[str, Handler],
    survive_hang_up: Collection[str] = (),
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on the unix socket `path` until cancelled; then remove the socket.

    ``handlers[op](args, emit)`` returns the result; ``await emit(event)`` sends an event before it. A
    `MeshError` is answered with its message, hint and ``code`` (``failed`` where it has none). A client that
    hangs up cancels the handler, except for the operations in `survive_hang_up`. Only this user and root are
    served. A handler that ends the sidecar triggers that as its last act: its result is still sent.

    Raises `AlreadyRunning` when another sidecar serves this path, and `MeshError` where the directory is not
    ours.
    """
    where = Path(path)
    with _claimed(where):
        listener = trio.SocketListener(_listen(where))
        room = trio.Semaphore(MOST_CONNECTIONS)

        async def connection(stream: trio.SocketStream) -> None:
            async with stream:
                try:
                    room.acquire_nowait()
                except trio.WouldBlock:
                    log.warning("control: %d connections are open, one more is refused", MOST_CONNECTIONS)
                    return
                try:
                    await _ControlConnection(stream, handlers, survive_hang_up).serve()
                except trio.BrokenResourceError:
                    pass  # the client hung up
                finally:
                    room.release()

        try:
            task_status.started()
            await trio.serve_listeners(connection, [listener])
        finally:
            where.unlink(missing_ok=True)  # noqa: ASYNC240 - no await while cancelled


class _ControlConnection:
    def __init__(
        self, stream: trio.SocketStream, handlers: Mapping[str, Handler], survive_hang_up: Collection[str]
    ) -> None:
        self._stream = stream
        self._handlers = handlers
        self._survive_hang_up = survive_hang_up
        self._sending = trio.Lock()
        self._gone = False

    async def serve(self) -> None:
        user = user_of(self._stream.socket)
        if user not in (os.geteuid(), 0):
            log.warning("control: user %d was refused", user)
            return
        try:
            op, args = await self._request()
        except ControlError as error:
            await self._send({"error": _error_object(error)})
            return
        if op is None:
            return
        handler = self._handlers.get(op)
        if handler is None:
            await self._send({"error": _error_object(_unknown(op))})
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope, op in self._survive_hang_up)
            nursery.start_soon(self._show_life)
            await self._answer(op, handler, args)
            nursery.cancel_scope.cancel()

    async def _request(self) -> tuple[str | None, dict[str, Any]]:
        """The request, or None from a client that only checked whether a sidecar listens."""
        received = bytearray()
        with trio.move_on_after(REQUEST_LIMIT) as limit:
            while b"\n" not in received:
                chunk = await self._stream.receive_some(65536)
                if not chunk:
                    return None, {}
                received += chunk
                if len(received) > LONGEST_REQUEST:
                    raise ControlError(f"a request of more than {LONGEST_REQUEST} bytes", FORM)
        if limit.cancelled_caught:
            return None, {}
        try:
            request = json.loads(received.partition(b"\n")[0])
            op, args = request["op"], request.get("args", {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ControlError("a request is one line of JSON with an op and its args", FORM) from None
        if not isinstance(op, str) or not isinstance(args, dict):
            raise ControlError("a request's op is text and its args are an object", FORM)
        return op, args

    async def _answer(self, op: str, handler: Handler, args: dict[str, Any]) -> None:
        answer: dict[str, Any]
        try:
            answer = {"result": dict(await handler(args, self._emit))}
        except Exception as failure:
            answer = {"error": _error_object(_explained(op, failure))}
        with trio.CancelScope(shield=True, deadline=trio.current_time() + SEND_LIMIT):
            await self._send(answer)

    async def _emit(self, event: Mapping[str, Any]) -> None:
        await self._send({"event": dict(event)})

    async def _send(self, message: Mapping[str, Any] | None) -> None:
        """Send one line, or an empty one for `None`. Sending to a client that is gone is no error."""
        line = b"\n" if message is None else json.dumps(message).encode() + b"\n"
        async with self._sending:
            if self._gone:
                return
            self._gone = True  # a line that was cut short would garble all later ones
            with trio.move_on_after(SEND_LIMIT), suppress(trio.BrokenResourceError):
                await self._stream.send_all(line)
                self._gone = False

    async def _watch(self, scope: trio.CancelScope, survives: bool) -> None:
        """Notice the hang-up; ignore whatever else the client sends."""
        with suppress(trio.BrokenResourceError):
            while await self._stream.receive_some(4096):
                pass
        self._gone = True
        if not survives:
            scope.cancel()

    async def _show_life(self) -> None:
        while True:
            await trio.sleep(SIGN_OF_LIFE)
            await self._send(None)


def _error_object(error: MeshError) -> dict[str, str]:
    return {"code": getattr(error, "code", "failed"), "message": error.message, "hint": error.hint}


def _explained(op: str, failure: Exception) -> MeshError:
    """The error to send for a failed handler.

    One request must not end the node, so unexpected ones are logged.
    """
    cause: BaseException = failure
    while isinstance(cause, ExceptionGroup) and len(cause.exceptions) == 1:
        cause = cause.exceptions[0]  # a handler's own nursery wraps its error
    if isinstance(cause, MeshError):
        return cause
    log.error("control: %s failed", op, exc_info=failure)
    return ControlError(f"{op} failed: {cause!r}", "the log says more: mesh logs")


def _unknown(op: str) -> ControlError:
    return ControlError(f"the sidecar does not know how to {op[:40]!r}", OTHER_VERSION)


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """Hold the path for this process: a lock beside the socket marks its server, even before it answers.

    The lock's file stays when the lock is released. Removing it would let two processes each hold a lock of
    that name.
    """
    directory = path.parent
    with suppress(FileExistsError):  # or something else has that name
        directory.mkdir(mode=0o700, parents=True)
    if not is_ours(str(directory)):
        # A short path keeps the socket in the state directory, where nobody else can be first.
        raise MeshError(
            f"{directory}, where the control socket would be, belongs to another user",
            "choose a --state-dir whose path is shorter",
        )
    directory.chmod(0o700)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _taken(path) from None
        yield
    finally:
        os.close(lock)


def _listen(path: Path) -> trio.socket.SocketType:
    """A listening socket at `path` for this user alone; a dead process' socket is replaced."""
    if _answers(path):
        raise _taken(path)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)  # before listen(), so that no other user connects earlier
        listening.listen(MOST_CONNECTIONS)
    except OSError as error:
        listening.close()
        raise MeshError(
            f"cannot listen on the control socket {path}: {error.strerror}",
            "choose another directory with --state-dir",
        ) from error
    return trio.socket.from_stdlib_socket(listening)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # a process listens, with a full backlog
        except OSError:
            return False
    return True


def _taken(path: Path) -> AlreadyRunning:
    return AlreadyRunning(
        f"a sidecar with this state directory is already running ({path})",
        "use it, or start another one with its own --state-dir",
    )

"""Asks the sidecar on this machine. Standard library alone: every command pays for its imports."""

import json
import os
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from mesh.control import paths
from mesh.control.control_errors import ControlError, NotRunning, OperationRefused, OtherStateDir
from mesh.control.operations import OperationRequest
from mesh.control.socket_peer import process_of, user_of

Result = TypeVar("Result", bound=Mapping[str, Any])

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of one line of an answer; a status of ten thousand members has some 5 MiB."""

SILENCE = 15.0
"""Seconds without a byte after which a sidecar counts as stuck; a working one sends a line every 5 s."""
PATIENCE = 5.0
"""The same for one that is to be ended anyway."""


def call(
    path: str, op: str, args: Mapping[str, Any] | None = None, timeout: float = SILENCE
) -> Generator[dict[str, Any], None, dict[str, Any]]:
    """Ask for `op` at the socket `path`; yield the events as they arrive and return the result.

    `timeout` limits each wait for the sidecar's next byte, in seconds. Closing the generator hangs up, which
    cancels most operations. Raises `NotRunning` when no process listens, `OperationRefused` with the
    sidecar's own error, and `ControlError` when the sidecar is stuck, ends before it answers or runs as
    another user.
    """
    with _connect(path, timeout) as connection:
        request = json.dumps({"op": op, "args": dict(args or {})}).encode() + b"\n"
        try:
            connection.sendall(request)
            for line in _lines(connection):
                answer = json.loads(line)
                if "event" in answer:
                    yield answer["event"]
                elif "error" in answer:
                    error = answer["error"]
                    raise OperationRefused(error["code"], error["message"], error.get("hint", ""))
                else:
                    result: dict[str, Any] = answer["result"]
                    return result
        except TimeoutError:
            raise ControlError(
                f"the sidecar has not answered for {timeout:.0f} s",
                "look at what it does: mesh logs",
            ) from None
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended; the error is raised below
        except (ValueError, KeyError, TypeError):
            raise _nonsense() from None
    raise ControlError("the sidecar ended before it had answered", "see why: mesh logs")


def ask(
    path: str,
    op: str,
    args: Mapping[str, Any] | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    timeout: float = SILENCE,
) -> Any:
    """Run `call` to its end: events go to `on_event`, the result is returned."""
    conversation = call(path, op, args, timeout)
    try:
        while True:
            event = next(conversation)
            if on_event is not None:
                on_event(event)
    except StopIteration as end:
        return end.value
    finally:
        conversation.close()


def send(
    state: str,
    request: OperationRequest[Result],
    on_event: Callable[[dict[str, Any]], None] | None = None,
    timeout: float = SILENCE,
) -> Result:
    """Run `ask` at the sidecar with this state directory, for an operation that is declared, so typed.

    Raises `OtherStateDir` where another sidecar answers; that one is asked no more than who it is.
    """
    for path in paths.socket_paths(state):
        with suppress(NotRunning):
            _confirm(path, state, timeout)
            result: Result = ask(path, request.name, request.args, on_event, timeout)
            return result
    raise NotRunning


def process_at(state: str) -> int:
    """The id of the process of the sidecar with this state directory, as the kernel tells it.

    It may be stuck, or say what this version does not understand, but not that its directory is another one.
    Raises `NotRunning`, and `ControlError` where it runs as another user, out of sight, or may be another's.
    """
    for path in paths.socket_paths(state):
        with suppress(NotRunning):
            doubt: ControlError | None = None
            try:
                _confirm(path, state, PATIENCE)
            except (NotRunning, OtherStateDir):
                raise
            except ControlError as error:
                doubt = error
            with _connect(path, PATIENCE) as connection:
                process = process_of(connection)
            if process <= 0:
                raise ControlError("the sidecar runs in another container", "end it there")
            # At a socket that several homes share, the one that says nothing may be another home's.
            if doubt is not None and path != paths.socket_path(state) and process != _noted(state):
                raise doubt
            return process
    raise NotRunning


def _noted(state: str) -> int | None:
    """The process that the last sidecar with this state directory noted as its own."""
    try:
        with open(paths.process_path(state), encoding="ascii") as file:
            return int(file.read(20))
    except (OSError, ValueError):
        return None


def _confirm(path: str, state: str, timeout: float) -> None:
    """Raise `OtherStateDir` unless the sidecar that answers there has this state directory."""
    said = ask(path, "info", timeout=timeout)
    theirs = said.get("state_dir") if isinstance(said, dict) else None
    if not isinstance(theirs, str):
        raise _nonsense()
    if theirs != state and not _same(theirs, state):
        raise OtherStateDir(path, theirs, state)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _connect(path: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connection.close()
        raise NotRunning from None
    except PermissionError:
        connection.close()
        raise ControlError(
            f"the control socket {path} belongs to another user",
            "run mesh as the user who joined, or choose another --state-dir",
        ) from None
    except (TimeoutError, BlockingIOError):
        connection.close()
        raise ControlError("the sidecar accepts no connection", "look at what it does: mesh logs") from None
    except OSError as error:
        connection.close()
        raise ControlError(
            f"cannot use the control socket {path}: {os.strerror(error.errno or 0)}",
            "mesh restart makes it anew",
        ) from None
    user = user_of(connection)
    if user not in (os.geteuid(), 0):
        # Another user's process that listens here would receive secrets.
        connection.close()
        raise ControlError(
            f"somebody else, user {user}, listens on the control socket {path}",
            "remove it, or choose another --state-dir",
        )
    return connection


def _lines(connection: socket.socket) -> Generator[bytes, None, None]:
    """The lines that arrive until the other side closes, without the empty lines that only show life."""
    chunks: list[bytes] = []
    size = 0
    while chunk := connection.recv(65536):
        head, *rest = chunk.split(b"\n")
        chunks.append(head)
        size += len(head)
        if size > LONGEST_LINE:
            raise ValueError("a line beyond all bounds")
        for part in rest:
            line = b"".join(chunks)
            chunks, size = [part], len(part)
            if line:
                yield line


def _nonsense() -> ControlError:
    return ControlError(
        "the sidecar's answer makes no sense to this version of mesh",
        "run the installed version: mesh restart",
    )

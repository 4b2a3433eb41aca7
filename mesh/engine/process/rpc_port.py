"""Detects that a freshly started rpc-server is ready, without a byte of its protocol.

A HELLO that a busy rpc-server answers too late kills it; and where it failed to listen, something else may
listen. A bare connection, closed again, is harmless. The log line that it causes proves that this very
process accepted it. (rpc-server flushes its log only then: before its first client the lines stay in its
buffer.)
"""

import re
import socket
from collections.abc import Awaitable, Callable, Iterable

import trio

_GREETING = re.compile(r"Starting RPC server v(\d+\.\d+\.\d+)")
ACCEPTED = "Accepted client connection"
"""rpc-server's log line for each client that it begins to serve."""

CLOSED = "Client connection closed"
"""Its log line for a client's end, when it has done and freed everything that the client asked for."""

_PAUSE_SECONDS = 0.005


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that is free now. Another program may take it next, so callers retry with another one."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_for_listener(connect: Callable[[], Awaitable[trio.abc.AsyncResource]]) -> None:
    """Connect and close, as soon as anything listens. Waits without limit: the caller sets one."""
    while True:
        try:
            stream = await connect()
        except OSError:
            await trio.sleep(_PAUSE_SECONDS)
        else:
            await stream.aclose()
            return


def greeting_version(lines: Iterable[str]) -> str | None:
    """The protocol version that rpc-server prints at its start."""
    for line in lines:
        found = _GREETING.search(line)
        if found:
            return found.group(1)
    return None

"""Telling when a freshly started rpc-server is ready, without a byte of its protocol.

A HELLO that a busy rpc-server answers too late kills it, and something else may listen where it failed to.
A bare connection, closed again, is harmless, and the log line that it causes proves that this very process
accepted it. (rpc-server writes its log only then: before its first client the lines stay in its buffer.)
"""

import re
import socket
from collections.abc import Iterable

import trio

_GREETING = re.compile(r"Starting RPC server v(\d+\.\d+\.\d+)")
ACCEPTED = "Accepted client connection"
"""rpc-server's log line for each client that it begins to serve."""

CLOSED = "Client connection closed"
"""And the one for its end, when everything that the client had asked for is done and freed."""

_PAUSE_SECONDS = 0.02


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody has at this moment; it may be gone at the next, so users retry with another."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def knock(port: int, host: str = "127.0.0.1") -> None:
    """Connect and close, as soon as anything listens. Waits without limit: the caller sets one."""
    while True:
        try:
            stream = await trio.open_tcp_stream(host, port)
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

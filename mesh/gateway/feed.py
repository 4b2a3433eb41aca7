"""Status changes for any number of watchers: each gets the newest status, so none falls behind."""

from collections.abc import Callable
from typing import Final

import trio

from mesh.gateway.backend import GatewayBackend
from mesh.gateway.connection import HttpExchange
from mesh.gateway.replies import json_bytes, unavailable

MAX_WATCHERS: Final = 64
KEEP_ALIVE: Final = 15.0
"""Seconds of silence before a comment is sent, so that no proxy on the way takes the stream for dead."""
MIN_INTERVAL: Final = 0.1
"""Seconds between two events; changes in between are merged."""


class Feed:
    """Follows ``backend.changes()`` once and keeps only the newest status, which bounds its memory."""

    def __init__(self, backend: GatewayBackend) -> None:
        self._backend = backend
        self._newest = b""
        self._changed = trio.Event()
        self._watchers = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called at each change."""

    async def run(self) -> None:
        """Follow the changes until they end."""
        async for _ in self._backend.changes():
            if self._watchers:
                self._newest = json_bytes(self._backend.status())
            self._changed.set()
            self._changed = trio.Event()
            self.on_change()

    async def changed(self, seconds: float) -> None:
        """Return at the next change, or after so many seconds without one."""
        with trio.move_on_after(seconds):
            await self._changed.wait()

    async def watch(self, exchange: HttpExchange) -> None:
        """Send the status now and after each change, until the client hangs up."""
        if self._watchers >= MAX_WATCHERS:
            await exchange.reply(unavailable("overloaded", f"{MAX_WATCHERS} are watching already", 30))
            return
        self._watchers += 1
        try:
            await exchange.start(
                200, [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            )
            await self._follow(exchange)
        finally:
            self._watchers -= 1

    async def _follow(self, exchange: HttpExchange) -> None:
        changed = self._changed
        sent = json_bytes(self._backend.status())
        await exchange.send(_event(sent))
        while True:
            with trio.move_on_after(KEEP_ALIVE) as silence:
                await changed.wait()
            changed = self._changed
            if silence.cancelled_caught:
                await exchange.send(b": alive\n\n")
            elif self._newest != sent:
                sent = self._newest
                await exchange.send(_event(sent))
                await trio.sleep(MIN_INTERVAL)


def _event(status: bytes) -> bytes:
    return b"event: status\ndata: " + status + b"\n\n"

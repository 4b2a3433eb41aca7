"""Tells programs of this machine from machines of the tailnet that a userspace tailscaled brings to loopback.

Each connection is judged once, before anything of it is read. What was said of a port is not kept for the
next connection from there, which may be another's.
"""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final

import trio

from mesh.gateway.forwarding import Heard, Mode, hear, refused_tailnet, refused_unknown
from mesh.gateway.replies import Reply
from mesh.net.addresses import is_loopback
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.protocol.base.drop_counters import DropCounters
from mesh.wire.endpoint import Endpoint

MODE_SECONDS: Final = 1.0
"""Seconds in which tailscaled must say how it runs."""
JUDGE_SECONDS: Final = 10.0
"""Seconds until a connection is refused of which tailscaled has not said whose it is."""
MAX_ASKING: Final = 8
"""Questions to tailscaled at a time. It looks for a local program's port for 0.2 s, one after another."""


class LoopbackGuard:
    """Asks whose a connection is, where tailscaled runs in userspace; elsewhere it lets all pass."""

    def __init__(self, find: Callable[[], Path | None]) -> None:
        """``find`` says where tailscaled's socket is now, or would be; it may come and go."""
        self.drops = DropCounters[str]()
        """Connections that were refused: ``tailnet`` and ``unknown``."""
        self._find = find
        self._heard: Heard | None = None
        self._looking = trio.Lock()
        self._asking = trio.CapacityLimiter(MAX_ASKING)

    async def refusal(self, caller: Endpoint) -> Reply | None:
        """Say why a connection from there is refused, or None."""
        if not is_loopback(caller.host):
            return None
        is_tailnets: bool | None = None
        with trio.move_on_after(JUDGE_SECONDS):
            is_tailnets = await self._is_tailnets(caller)
        if is_tailnets is False:
            return None
        self.drops.count("tailnet" if is_tailnets else "unknown", caller)
        return refused_tailnet() if is_tailnets else refused_unknown()

    async def _is_tailnets(self, caller: Endpoint) -> bool | None:
        """Whether it comes over the tailnet; None where that cannot be told."""
        path = self._find()
        daemon = None if path is None else _identity(path)
        if path is None or daemon is None:
            return False
        tailscale = Tailscale(path)
        mode = await self._mode(tailscale, daemon)
        if mode is not Mode.USERSPACE:
            return None if mode is Mode.SILENT else False
        async with self._asking:
            try:
                return await tailscale.whois(caller) is not None
            except TailscaleError as error:
                # With tailscaled all that it has brought ends.
                return False if error.reason == "not_running" else None

    async def _mode(self, tailscale: Tailscale, daemon: Hashable) -> Mode:
        async with self._looking:
            if self._heard is None or not self._heard.is_current(daemon, trio.current_time()):
                said = await _ask_mode(tailscale)
                self._heard = hear(self._heard, daemon, said, trio.current_time())
            return self._heard.mode


async def _ask_mode(tailscale: Tailscale) -> Mode:
    with trio.move_on_after(MODE_SECONDS):
        try:
            return Mode.INTERFACE if await tailscale.has_interface() else Mode.USERSPACE
        except TailscaleError as error:
            return Mode.ABSENT if error.reason == "not_running" else Mode.SILENT
    return Mode.SILENT


def _identity(socket: Path) -> Hashable | None:
    """What changes when another process listens on the socket; None where there is none."""
    try:
        found = socket.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # It may be there all the same: asking tells.
        return socket
    return found.st_dev, found.st_ino, found.st_ctime_ns

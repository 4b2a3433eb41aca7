"""A tailscaled in userspace, played: its LocalAPI, and the connections that it brings to loopback."""

import contextlib
import json
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trio

from tests.lab.fake_tailscaled import fake_tailscaled
from tests.lab.relay import relay

STRANGER = "100.64.0.2"
CONFIG: dict[str, Any] = {
    "self": {"name": "anna", "ip": "100.64.0.1", "user": "alice@example.com"},
    "peers": [{"name": "bert", "ip": STRANGER, "user": "bob@example.com"}],
    "tun": False,
}


class Userspace:
    """One machine's tailscaled, with a stranger on its tailnet."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.socket = folder / "tailscaled.sock"
        self.config: dict[str, Any] = {**CONFIG, "forwarded": {}}
        self._file = folder / "tailnet.json"
        self._nursery = nursery
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Change what it says; it never reads half a file."""
        self.config.update(changes)
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(self.config))
        draft.replace(self._file)

    def running(self) -> contextlib.AbstractAsyncContextManager[Path]:
        """Its LocalAPI answers for the length of a ``with`` block, each time as another process."""
        return fake_tailscaled(self.socket, self._file)

    async def visit(self, port: int, host: str = "127.0.0.1", by: str = STRANGER) -> trio.SocketStream:
        """The visitor's end of a connection that is brought to this port of loopback."""
        source, family = ("::1", socket.AF_INET6) if ":" in host else ("127.0.0.1", socket.AF_INET)
        onward = trio.socket.socket(family)
        await onward.bind((source, 0))
        self.config["forwarded"][str(onward.getsockname()[1])] = by
        self.configure()
        await onward.connect((host, port))
        visitors, ours = socket.socketpair()
        tailnet = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        self._nursery.start_soon(_bring, tailnet, trio.SocketStream(onward))
        return trio.SocketStream(trio.socket.from_stdlib_socket(visitors))


async def _bring(tailnet: trio.SocketStream, onward: trio.SocketStream) -> None:
    async with tailnet, onward:
        await relay(tailnet, onward)


@contextlib.asynccontextmanager
async def userspace(nursery: trio.Nursery) -> AsyncIterator[Userspace]:
    """One that does not run yet. A socket's path may have about 100 bytes: it gets a short one."""
    with tempfile.TemporaryDirectory(prefix="mesh") as folder:
        yield Userspace(Path(folder), nursery)

"""The leader's end of the tunnels: they carry bytes between llama-server and the workers' gates.

Each rpc-server has a listener that llama-server alone reaches. It makes several short connections there
before the one that it keeps. Each connection opens a session of its own, by a function that is handed in; a
bridge (`mesh.net.bridge`) then carries the bytes. A direction that ends is half-closed where the session can
do that. TLS cannot, so there the end of one direction ends both.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

import trio

from leader.placement.rpc_groups import RpcGroup
from mesh.net.bridge import LINGER, Bridge, Ending
from mesh.net.link import Bare, Trusts, enter_gate, never
from mesh.net.stream_ends import End, Plain
from mesh.wire.errors import MeshError
from mesh.wire.strangers_words import printable

MAX_CONNECTIONS: Final = 16  # to one rpc-server at once
MAX_REFUSAL: Final = 200  # characters of a gate's reason


class Closing(Protocol):
    """What a tunnel closes when it is done."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenTunnel:
    """A session to a worker's rpc-server that its gate has let in."""

    session: Closing
    end: End


Opener = Callable[[RpcGroup], Awaitable[OpenTunnel]]
ResetHandler = Callable[[RpcGroup, str, bool], None]
"""Told of an rpc-server whose tunnel did not open, or was ended by something other than llama-server; of the
reason; and whether that was, as far as can be told, not the worker either, but something on the way."""

_RESETS = {
    Ending.FAR_ENDED: "the worker closed the tunnel",
    Ending.FAR_BROKE: "the tunnel was reset",
    Ending.FAR_SILENT: "the worker fell silent",
}


class Tunnels:
    """One for each rpc-server, once ``listen`` was called."""

    def __init__(self, opener: Opener, on_reset: ResetHandler, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._open = opener
        self._on_reset = on_reset
        self._bridges: dict[Bridge, RpcGroup] = {}  # with what each leads to
        self._sent: Counter[RpcGroup] = Counter()
        self._received = 0

    @property
    def sent(self) -> int:
        """Bytes sent to all workers so far."""
        return self._sent.total() + sum(bridge.outward.moved for bridge in self._bridges)

    def sent_to(self, server: RpcGroup) -> int:
        """Bytes sent to that rpc-server so far."""
        open_ones = [bridge.outward.moved for bridge, to in self._bridges.items() if to == server]
        return self._sent[server] + sum(open_ones)

    @property
    def received(self) -> int:
        """Bytes received from all workers so far."""
        return self._received + sum(bridge.inward.moved for bridge in self._bridges)

    def awaited(self, loading: bool) -> RpcGroup | None:
        """The rpc-server that llama-server waits for: it got the last bytes of all, and has sent none since.

        llama-server asks one after another. While it loads, much of what it sends has no answer: then the
        worker must have bytes of it yet to take. None where none is waited for.
        """
        last = max(self._bridges, key=lambda bridge: bridge.outward.moved_at, default=None)
        if last is None or not last.outward.moved or last.inward.moved_at > last.outward.moved_at:
            return None
        return self._bridges[last] if not loading or last.untaken else None

    def listen(self, server: RpcGroup, listener: trio.abc.Listener[trio.SocketStream]) -> None:
        """Carry what llama-server connects to there to that rpc-server."""
        limiter = trio.CapacityLimiter(MAX_CONNECTIONS)
        serve = partial(self._serve, server, limiter)
        self._nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))

    async def _serve(self, server: RpcGroup, limiter: trio.CapacityLimiter, local: trio.SocketStream) -> None:
        async with limiter, local:
            try:
                with closing(Plain.take(local)) as near:
                    await self._carry(server, near, await self._open(server))
            except (MeshError, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
                self._on_reset(server, f"no tunnel: {_why(error)}", not isinstance(error, TunnelRefused))

    async def _carry(self, server: RpcGroup, near: Plain, tunnel: OpenTunnel) -> None:
        bridge = Bridge(near, tunnel.end, partial(self._ended, server))
        self._bridges[bridge] = server
        try:
            await bridge.run()
        finally:
            self._bridges.pop(bridge)
            self._sent[server] += bridge.outward.moved
            self._received += bridge.inward.moved
            with trio.move_on_after(LINGER, shield=True):
                await tunnel.session.aclose()

    def _ended(self, server: RpcGroup, ending: Ending) -> None:
        """Report a broken tunnel, unless llama-server died or hung up: that is no fault of the worker's."""
        reason = _RESETS.get(ending)
        if reason is not None:
            self._on_reset(server, reason, ending is Ending.FAR_SILENT)


def _why(error: Exception) -> str:
    return "it took too long" if isinstance(error, trio.TooSlowError) else str(error)


class NoTunnel(NamedTuple):
    """Why no tunnel leads to an rpc-server; ``cut``: it is none that the worker gave."""

    reason: str
    cut: bool


async def unreachable(servers: Iterable[RpcGroup], opener: Opener) -> dict[RpcGroup, NoTunnel]:
    """The rpc-servers that no tunnel leads to; all are tried at once, each within ``opener``'s limit.

    llama-server aborts when one of them does not answer at the start. A tunnel that opens also proves that
    rpc-server serves no other client.
    """
    failed: dict[RpcGroup, NoTunnel] = {}

    async def try_one(server: RpcGroup) -> None:
        try:
            tunnel = await opener(server)
        except (MeshError, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            failed[server] = NoTunnel(f"no tunnel: {_why(error)}", not isinstance(error, TunnelRefused))
            return
        tunnel.end.close()
        await tunnel.session.aclose()

    async with trio.open_nursery() as nursery:
        for server in servers:
            nursery.start_soon(try_one, server)
    return failed


class GatedSession(Bare, Closing, Protocol):
    """A session whose first message comes from the worker's gate."""


class TunnelRefused(MeshError):
    """The worker's gate does not let this leader in."""


async def pass_gate(session: GatedSession, trusts: Trusts = never) -> OpenTunnel:
    """Wait for the gate's answer; afterwards the bytes are rpc-server's own. Raises TunnelRefused with the
    gate's reason.

    The caller limits the wait, and closes the session on an error.
    """
    answer = await session.receive_message(4096)
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        reason = answer.get("reason") if isinstance(answer, dict) else None
        raise TunnelRefused(
            f"the worker's gate refused: {printable(reason, MAX_REFUSAL) or 'no reason given'}"
        )
    return OpenTunnel(session, await enter_gate(session, answer, trusts))


@asynccontextmanager
async def open_tunnels(
    opener: Opener, on_reset: ResetHandler = lambda server, reason, cut: None
) -> AsyncIterator[Tunnels]:
    """Tunnels to rpc-servers, for as long as the context lasts.

    ``opener`` opens a session to one, within a limit of its own. ``on_reset`` gets the rpc-server and a
    reason when a tunnel could not be opened, or when something other than llama-server ended it.
    """
    async with trio.open_nursery() as nursery:
        try:
            yield Tunnels(opener, on_reset, nursery)
        finally:
            nursery.cancel_scope.cancel()

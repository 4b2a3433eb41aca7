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
from typing import Final, Protocol

import trio

from leader.placement.rpc_groups import RpcGroup
from mesh.net.bridge import LINGER, Bridge, Ending
from mesh.net.link import Bare, Trusts, enter_gate, never
from mesh.net.stream_ends import End, Plain
from mesh.wire.errors import MeshError

MAX_CONNECTIONS: Final = 16  # to one rpc-server at once


class Closing(Protocol):
    """What a tunnel closes when it is done."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenTunnel:
    """A session to a worker's rpc-server that its gate has let in."""

    session: Closing
    end: End


Opener = Callable[[RpcGroup], Awaitable[OpenTunnel]]
ResetHandler = Callable[[RpcGroup, str], None]

_RESETS = {
    Ending.FAR_ENDED: "the worker closed the tunnel",
    Ending.FAR_BROKE: "the tunnel was reset",
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
                self._on_reset(server, f"no tunnel: {error}")

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
            self._on_reset(server, reason)


async def unreachable(servers: Iterable[RpcGroup], opener: Opener) -> dict[RpcGroup, str]:
    """The rpc-servers that no tunnel leads to, with the reason; all are tried at once, each within
    ``opener``'s limit.

    llama-server aborts when one of them does not answer at the start. A tunnel that opens also proves that
    rpc-server serves no other client.
    """
    failed: dict[RpcGroup, str] = {}

    async def try_one(server: RpcGroup) -> None:
        try:
            tunnel = await opener(server)
        except (MeshError, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            failed[server] = f"no tunnel: {error}"
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
        raise TunnelRefused(f"the worker's gate refused: {reason or 'no reason given'}")
    return OpenTunnel(session, await enter_gate(session, answer, trusts))


@asynccontextmanager
async def open_tunnels(
    opener: Opener, on_reset: ResetHandler = lambda server, reason: None
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

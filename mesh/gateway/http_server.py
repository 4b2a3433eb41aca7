"""Listening, accepting connections, and an orderly end."""

import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import trio

from mesh.gateway.app import Gateway
from mesh.gateway.backend import GatewayBackend
from mesh.gateway.connection import Connection
from mesh.gateway.replies import Reply
from mesh.net.addresses import endpoint_of
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

MAX_CONNECTIONS: Final = 400
"""Clients' connections at a time. With those to the leader, fewer than the 1024 files a process may open."""
GRACE: Final = 0.5
"""Seconds for requests in flight to end when the gateway stops."""

Guard = Callable[[Endpoint], Awaitable[Reply | None]]
"""Says why a connection from there is refused, or None."""

logger = logging.getLogger(__name__)


async def let_pass(caller: Endpoint) -> Reply | None:
    """Refuse no connection."""
    return None


async def serve_gateway(
    binds: Sequence[tuple[str, int]],
    backend: GatewayBackend,
    *,
    api_key: str | None = None,
    guard: Guard = let_pass,
    collectors: "Sequence[Collector]" = (),
    task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway until cancelled; then it is gone within a second, whatever its clients do.

    `binds` are numeric addresses and ports, 0 for any free one; ``started`` gets what was bound, in that
    order. With `api_key`, every request that discloses or does something needs it as a bearer token.
    A connection that `guard` refuses gets that answer and no other. `collectors` add to ``/metrics``. Raises
    `MeshError` where it cannot listen.
    """
    gateway = Gateway(backend, api_key, collectors)
    async with AsyncExitStack() as stack:
        listeners = []
        for host, port in binds:
            listener = await _listen(host, port)
            stack.push_async_callback(trio.aclose_forcefully, listener)
            listeners.append(listener)
        acceptor = _Acceptor(gateway, guard)
        async with trio.open_nursery() as nursery:
            await nursery.start(acceptor.hold)
            nursery.start_soon(gateway.feed.run)
            task_status.started([listener.socket.getsockname()[:2] for listener in listeners])
            try:
                await acceptor.accept(listeners)
            finally:
                acceptor.close()


class _Acceptor:
    """Accepts connections. Their nursery outlives the caller's cancellation by `GRACE`."""

    def __init__(self, gateway: Gateway, guard: Guard) -> None:
        self._gateway = gateway
        self._guard = guard
        self._open: set[Connection] = set()
        self._closed = trio.Event()
        self._nursery: trio.Nursery

    async def hold(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Own the connections, until closed and a grace later."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self._closed.wait()

    async def accept(self, listeners: Sequence[trio.SocketListener]) -> None:
        await trio.serve_listeners(self._serve, list(listeners), handler_nursery=self._nursery)

    def close(self) -> None:
        """Close idle connections now, and the others soon."""
        self._nursery.cancel_scope.deadline = trio.current_time() + GRACE
        self._closed.set()
        for connection in self._open:
            connection.close_when_idle()

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            logger.warning("%d clients are connected; another was refused", len(self._open))
            await trio.aclose_forcefully(stream)
            return
        try:
            caller = endpoint_of(stream.socket.getpeername())
        except OSError:
            # It hung up at once.
            await trio.aclose_forcefully(stream)
            return
        connection = Connection(stream, self._gateway.handle, stream.socket.getsockname()[0])
        self._open.add(connection)
        try:
            if refusal := await self._guard(caller):
                await connection.turn_away(refusal)
            else:
                await connection.run()
        except Exception:
            # One client's connection may fail; the others and this node go on.
            logger.exception("a connection failed")
        finally:
            self._open.discard(connection)


async def _listen(host: str, port: int) -> trio.SocketListener:
    try:
        return (await trio.open_tcp_listeners(port, host=host))[0]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MeshError(
                f"port {port} on {host} is taken, the API cannot listen there",
                "choose another with --api-port, or 0 for any that is free",
            ) from error
        raise MeshError(
            f"the API cannot listen on {host} port {port}: {error.strerror or error}",
            "choose another port with --api-port, or an address of this machine with --listen",
        ) from error

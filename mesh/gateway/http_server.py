"""Listening, accepting connections, and an orderly end."""

import errno
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from mesh.gateway.app import Gateway
from mesh.gateway.backend import GatewayBackend
from mesh.gateway.connection import Connection
from mesh.gateway.entry.clients import Clients
from mesh.gateway.entry.entrances import Entrance, listening_for
from mesh.net.addresses import endpoint_of
from mesh.protocol.base.drop_counters import DropCounters
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

GRACE: Final = 0.5
"""Seconds for requests in flight to end when the gateway stops."""

logger = logging.getLogger(__name__)


async def serve_gateway(
    entrances: Sequence[Entrance],
    backend: GatewayBackend,
    *,
    drops: DropCounters[str] | None = None,
    collectors: "Sequence[Collector]" = (),
    task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway until cancelled; then it is gone within a second, whatever its clients do.

    ``started`` gets the addresses of the `entrances`, in their order. Connections without a place are counted
    in `drops`. `collectors` add to ``/metrics``. Raises `MeshError` where it cannot listen.
    """
    gateway = Gateway(backend, collectors)
    async with AsyncExitStack() as stack:
        doors = await _open(entrances, stack)
        acceptor = _Acceptor(gateway, doors, drops or DropCounters())
        async with trio.open_nursery() as nursery:
            await nursery.start(acceptor.hold)
            nursery.start_soon(gateway.feed.run)
            task_status.started([(one.host, one.port) for one in doors.bound])
            try:
                await acceptor.accept()
            finally:
                acceptor.close()


class _Doors(NamedTuple):
    """Entrances with the ports that they got, and the sockets that take their connections."""

    bound: list[Entrance]
    listeners: list[tuple[trio.SocketListener, Entrance]]

    def entrance(self, at: Endpoint, listening: Entrance) -> Entrance:
        """The entrance by which a connection to the address ``at`` has come to a socket."""
        for one in self.bound:
            if (one.host, one.port) == (at.host, at.port) and listening_for(one, self.bound) == listening:
                return one
        return listening


async def _open(entrances: Sequence[Entrance], stack: AsyncExitStack) -> _Doors:
    doors = _Doors([], [])
    for entrance in entrances:
        if listening_for(entrance, entrances) is not entrance:
            doors.bound.append(entrance)
            continue
        listener = await _listen(entrance.host, entrance.port)
        stack.push_async_callback(trio.aclose_forcefully, listener)
        host, port = listener.socket.getsockname()[:2]
        doors.bound.append(replace(entrance, host=host, port=port))
        doors.listeners.append((listener, doors.bound[-1]))
    return doors


class _Acceptor:
    """Accepts connections. Their nursery outlives the caller's cancellation by `GRACE`."""

    def __init__(self, gateway: Gateway, doors: _Doors, drops: DropCounters[str]) -> None:
        self._gateway = gateway
        self._doors = doors
        self._drops = drops
        self._clients = Clients()
        self._open: set[Connection] = set()
        self._closed = trio.Event()
        self._nursery: trio.Nursery

    async def hold(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Own the connections, until closed and a grace later."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self._closed.wait()

    async def accept(self) -> None:
        async with trio.open_nursery() as nursery:
            for listener, entrance in self._doors.listeners:
                serve = partial(self._serve, entrance)
                nursery.start_soon(
                    partial(trio.serve_listeners, serve, [listener], handler_nursery=self._nursery)
                )

    def close(self) -> None:
        """Close idle connections now, and the others soon."""
        self._nursery.cancel_scope.deadline = trio.current_time() + GRACE
        self._closed.set()
        for connection in self._open:
            connection.close_when_idle()

    async def _serve(self, listening: Entrance, stream: trio.SocketStream) -> None:
        try:
            caller = endpoint_of(stream.socket.getpeername())
            local = endpoint_of(stream.socket.getsockname())
        except OSError:
            # It hung up at once.
            await trio.aclose_forcefully(stream)
            return
        entrance = self._doors.entrance(local, listening)
        connection = Connection(stream, self._gateway.handler(entrance.api_key), local.host)
        if not self._clients.arrive(connection, caller.host, local.host):
            self._drops.count("crowded", caller)
            await trio.aclose_forcefully(stream)
            return
        self._open.add(connection)
        try:
            if refusal := await connection.judged_by(partial(entrance.guard, caller)):
                await connection.turn_away(refusal)
            else:
                await connection.run()
        except Exception:
            # One client's connection may fail; the others and this node go on.
            logger.exception("a connection failed")
        finally:
            self._open.discard(connection)
            self._clients.depart(connection)


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

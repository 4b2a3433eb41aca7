"""Nodes on loopback, whose sockets are closed whatever a test does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
import trio

from mesh.net.port import BoundPort, bind_port
from mesh.net.streams import Handler, Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity, NodeId
from mesh.wire.versions import SPOKEN, Versions


@dataclass(frozen=True, slots=True)
class StreamHost:
    """A node that serves streams on 127.0.0.1."""

    identity: Identity
    streams: Streams
    endpoint: Endpoint

    @property
    def id(self) -> NodeId:
        return self.identity.id


class Lan:
    """Starts hosts in the test's nursery."""

    def __init__(self, nursery: trio.Nursery, ports: list[BoundPort]) -> None:
        self._nursery = nursery
        self._ports = ports

    async def host(
        self, handlers: Mapping[str, Handler], speaks: Versions = SPOKEN, build: str = ""
    ) -> StreamHost:
        identity = Identity.generate()
        streams = Streams(identity, speaks=speaks, build=build)
        port = bind_port(["127.0.0.1"])
        self._ports.append(port)
        await self._nursery.start(streams.serve, port.tcp, handlers)
        return StreamHost(identity, streams, Endpoint("127.0.0.1", port.port))

    async def foreign(self, speak: Callable[[trio.SocketStream], Awaitable[None]]) -> Endpoint:
        """A server on 127.0.0.1 that speaks something else."""
        port = bind_port(["127.0.0.1"])
        self._ports.append(port)
        await self._nursery.start(trio.serve_listeners, speak, list(port.tcp))
        return Endpoint("127.0.0.1", port.port)


@pytest.fixture
async def lan() -> AsyncIterator[Lan]:
    ports: list[BoundPort] = []
    async with trio.open_nursery() as nursery:
        yield Lan(nursery, ports)
        nursery.cancel_scope.cancel()
    for port in ports:
        port.close()


@pytest.fixture
async def ports() -> AsyncIterator[list[BoundPort]]:
    """Bound ports that are closed in the end."""
    bound: list[BoundPort] = []
    yield bound
    for port in bound:
        port.close()


def members(*identities: Identity) -> dict[NodeId, bytes]:
    """The keys of a pool with these members."""
    return {identity.id: identity.public_key for identity in identities}

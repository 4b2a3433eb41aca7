"""What the gateway needs from the node it is the door of."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

import trio

from mesh.wire.errors import MeshError


class NotReady(MeshError):
    """No answer is to be had now: ``reason`` says why, ``retry_after`` in how many seconds to ask again.

    ``lasting``: waiting a little will not help. A request that just comes in is told so at once; one whose
    answer has begun still waits.
    """

    def __init__(
        self, reason: str, retry_after: float = 5.0, hint: str = "", *, lasting: bool = False
    ) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.retry_after = retry_after
        self.lasting = lasting


class NothingServed(NotReady):
    """Nobody wants a model to be served: no answer goes on."""

    def __init__(self) -> None:
        super().__init__("no model is served", hint="mesh serve MODEL.gguf", lasting=True)


class Serving(NamedTuple):
    """Who leads (an id as text), and what is to be served (a model's hash)."""

    leader: str
    model: str


class GatewayBackend(Protocol):
    """The node, as its gateway sees it."""

    async def open_leader(self) -> trio.abc.Stream:
        """Open a fresh byte stream to the leader's llama-server, for one HTTP/1.1 exchange.

        The gateway owns the stream and closes it forcefully when the client has hung up: whoever stands at
        the other end must then close its connection to llama-server, which stops the slot. A stream that ends
        by a failure raises ``trio.BrokenResourceError``, or ends early, which HTTP tells from a proper end.

        Raises `NotReady` where there is nobody to ask, `MeshError` or ``OSError`` where asking failed.
        """
        ...

    def serving(self) -> Serving | None:
        """Return who leads and what is to be served; None while nobody leads. Costs next to nothing."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return the object of ``mesh status --json``."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Iterate over changes of the status. Several may come as one."""
        ...
